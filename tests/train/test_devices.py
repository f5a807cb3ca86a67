from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import pytest
from conftest import ROOT, Run, error_line
from mindspore import nn

from preprocess.common.errors import InputError
from train import devices
from train.config import DEFAULT_RECIPE, PrecisionConfig, load_recipe


@pytest.mark.parametrize(
    ("device", "number", "wanted"),
    [("Ascend", "3", ("Ascend", 3)), ("Ascend", "", ("Ascend",)), ("CPU", "3", ("CPU",))],
)
def test_a_process_takes_the_npu_that_device_id_names_and_runs_kernel_by_kernel(
    device: str, number: str, wanted: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICE_ID", number)
    monkeypatch.setenv("RANK_TABLE_FILE", "hccl.json")
    asked, set_to = [], {}
    monkeypatch.setattr(ms, "set_device", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(ms, "set_context", lambda **options: set_to.update(options))
    devices.use(device, seed=1)
    assert asked == [wanted]
    assert set_to.get("jit_config") == ({"jit_level": "O0"} if device == "Ascend" else None)
    assert ("RANK_TABLE_FILE" in os.environ) == (device == "CPU")


def test_float32_is_refused_on_ascend(monkeypatch: pytest.MonkeyPatch, on_the_cpu: None) -> None:
    network = nn.Dense(2, 2)
    devices.cast_network(network, PrecisionConfig(level="O0"))
    monkeypatch.setattr(devices, "own_level", lambda: "O2")
    with pytest.raises(InputError, match=r"precision\.level O0 is float32, which nn.Conv3d does not take on Ascend"):
        devices.cast_network(network, PrecisionConfig(level="O0"))


def test_a_batch_that_cannot_be_sunk_is_refused_on_ascend_with_one_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = load_recipe(DEFAULT_RECIPE).clip
    for device, size, frames in (("CPU", 224, 64), ("Ascend", 112, 16)):
        monkeypatch.setenv("DEVICE_TARGET", device)
        devices.check_batch(128, replace(clip, size=size, frames=frames))
    with pytest.raises(InputError, match="is 294 MB, and Ascend is sent at most 256 MB at a time: --batch-size 111 or less"):
        devices.check_batch(128, replace(clip, size=224))


@pytest.mark.parametrize(
    ("environment", "workers"),
    [
        ({}, 24),
        ({"MS_WORKER_NUM": "8"}, 3),
        ({"RANK_SIZE": "5"}, 4),
        ({"MS_WORKER_NUM": "32", "RANK_CPUS": "3"}, 3),  # on four hosts
        ({"MS_WORKER_NUM": "8", "RANK_CPUS": "30"}, 24),  # bound to 24 of more
        ({"MS_WORKER_NUM": "100"}, 1),
    ],
)
def test_a_rank_keeps_its_part_of_the_cpus_busy(
    environment: dict[str, str], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MS_WORKER_NUM", "RANK_SIZE", "RANK_CPUS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(devices, "available_cpus", lambda: 24)
    assert devices.workers_of_rank() == workers


@pytest.mark.parametrize("command", ["train/train.py", "eval/evaluate.py", "eval/predict.py"])
def test_without_cann_ascend_is_refused_in_one_line(
    command: str, records: Path, ucf: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if devices.ASCEND_DRIVER.exists():
        pytest.skip("here is an Ascend")
    monkeypatch.setenv("DEVICE_TARGET", "Ascend")
    recipe = ROOT / "train/recipes/quick_cpu.yaml"
    arguments = {
        "train/train.py": ["--records", records, "--recipe", recipe, "--out", tmp_path / "out"],
        "eval/evaluate.py": ["--records", records, "--checkpoint", "any.ckpt", "--out", tmp_path / "out"],
        "eval/predict.py": [next(ucf.rglob("*.avi")), "--checkpoint", "any.ckpt"],
    }[command]
    assert re.fullmatch(
        r"error: MindSpore cannot compute on Ascend \(lib\w+\.so: cannot open shared object file: No such file or "
        r"directory\): python train/doctor.py says what is missing, DEVICE_TARGET=CPU computes without",
        error_line(run(command, *arguments, code=2, new_process=True)),
    )
    assert not (tmp_path / "out").exists()


def test_a_device_id_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_ID", "first")
    with pytest.raises(InputError, match="DEVICE_ID=first is no NPU's number"):
        devices.use("Ascend", seed=1)
