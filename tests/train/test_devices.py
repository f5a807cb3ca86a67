from __future__ import annotations

import mindspore as ms
import pytest

from preprocess.common.errors import InputError
from train import devices


@pytest.mark.parametrize(
    ("device", "environment", "wanted"),
    [
        ("Ascend", {"DEVICE_ID": "3"}, ("Ascend", 3)),
        ("Ascend", {}, ("Ascend",)),
        ("Ascend", {"DEVICE_ID": "3", "MS_ROLE": "MS_WORKER"}, ("Ascend",)),  # msrun shares them out
        ("CPU", {"DEVICE_ID": "3"}, ("CPU",)),
    ],
)
def test_a_process_that_is_alone_takes_the_npu_that_device_id_names(
    device: str, environment: dict[str, str], wanted: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DEVICE_ID", "MS_ROLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asked = []
    monkeypatch.setattr(ms, "set_device", lambda *arguments: asked.append(arguments))
    devices.use(device, seed=1)
    assert asked == [wanted]


def test_a_device_id_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MS_ROLE", raising=False)
    monkeypatch.setenv("DEVICE_ID", "first")
    with pytest.raises(InputError, match="DEVICE_ID=first is no NPU's number"):
        devices.use("Ascend", seed=1)
