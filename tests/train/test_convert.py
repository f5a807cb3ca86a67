from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from conftest import Run, error_line
from safetensors.numpy import save_file

from train.models import build_model
from train.models.infer_architecture import guess_model
from train.weights import load_pretrained


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet3d", {"depth": 10, "widen_factor": 0.125, "shortcut_type": "B", "conv1_t_size": 7}),
        ("resnet3d", {"depth": 18, "widen_factor": 0.19, "shortcut_type": "A", "conv1_t_size": 3}),
        ("resnet3d", {"depth": 50, "widen_factor": 0.125, "shortcut_type": "A", "conv1_t_size": 7}),
        ("resnet3d", {"depth": 101, "widen_factor": 0.0625, "shortcut_type": "B", "conv1_t_size": 1}),
        ("resnet2p1d", {"depth": 34, "widen_factor": 0.125, "shortcut_type": "B", "conv1_t_size": 7}),
        ("resnet2p1d", {"depth": 50, "widen_factor": 0.125, "shortcut_type": "A", "conv1_t_size": 5}),
        ("wide_resnet3d", {"depth": 50, "widen_factor": 0.0625, "shortcut_type": "B", "conv1_t_size": 7}),
    ],
)
def test_a_network_is_told_from_its_tensors_shapes(name: str, options: dict[str, object]) -> None:
    with ms.nn.utils.no_init_parameters():
        shapes = shapes_of(build_model(name, num_classes=11, **options))
    guessed = guess_model(shapes)
    assert guessed is not None
    assert guessed[0] == name
    assert {**guessed[1], "widen_factor": options["widen_factor"]} == {"num_classes": 11, **options}
    with ms.nn.utils.no_init_parameters():
        assert shapes_of(build_model(guessed[0], **guessed[1])) == shapes


def shapes_of(network: ms.nn.Cell) -> dict[str, tuple[int, ...]]:
    return {p.name: p.shape for p in network.get_parameters()}


@pytest.mark.parametrize("change", ["no head", "no last stage", "a block too many", "flat stem"])
def test_an_unknown_network_is_not_guessed_at(change: str) -> None:
    shapes = shapes_of(build_model("resnet3d", num_classes=3, depth=10, widen_factor=0.125))
    if change == "no head":
        del shapes["fc.weight"]
    elif change == "no last stage":
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("layer4.")}
    elif change == "a block too many":
        shapes["layer4.1.conv1.weight"] = (64, 64, 3, 3, 3)
    else:
        shapes["conv1.weight"] = (8, 3, 7, 7)
    assert guess_model(shapes) is None


def test_a_published_file_becomes_a_checkpoint_that_loads_with_nothing_skipped(
    run: Run, shared: Path, tmp_path: Path
) -> None:
    source = shared / "reference/r3d10_w0125.pth"
    done = run("train/convert.py", source, "--out", "new/r3d10.ckpt")
    assert "is of resnet3d: num_classes 7, depth 10, widen_factor 0.125, shortcut_type B" in done.stdout
    assert "loaded     62\n" in done.stdout
    assert "skipped    12  a counter: bn1.num_batches_tracked" in done.stdout
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r3d10.ckpt"]
    converted, direct = (build_model("resnet3d", num_classes=7, depth=10, widen_factor=0.125) for _ in range(2))
    report = load_pretrained(converted, tmp_path / "new/r3d10.ckpt")
    assert (len(report.loaded), report.skipped, report.new) == (62, {}, ())
    load_pretrained(direct, source)
    for ours, theirs in zip(converted.get_parameters(), direct.get_parameters(), strict=True):
        assert (ours.asnumpy() == theirs.asnumpy()).all()


def test_what_cannot_be_converted_is_said_in_one_line(run: Run, tmp_path: Path) -> None:
    save_file({"encoder.weight": np.ones(3, np.float32)}, tmp_path / "x.safetensors")
    line = error_line(run("train/convert.py", "x.safetensors", "--out", "x.ckpt", code=2))
    assert "x.safetensors is of none of resnet3d, resnet2p1d, wide_resnet3d, with tensors like encoder.weight" in line
    assert not (tmp_path / "x.ckpt").exists()
