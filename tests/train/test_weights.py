from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from preprocess.common.errors import InputError
from train import checkpoint
from train.checkpoint import CheckpointMetadata
from train.config import ClipConfig, ModelConfig
from train.models import build_model
from train.weights import load_pretrained

NARROW = {"depth": 10, "widen_factor": 0.125}


pytestmark = pytest.mark.usefixtures("on_the_cpu")


def narrow(num_classes: int = 7, **options: object) -> ms.nn.Cell:
    return build_model("resnet3d", num_classes=num_classes, **{**NARROW, **options})


def values(network: ms.nn.Cell) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


def pytorch_name(name: str) -> str:
    for ours, theirs in (("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean")):
        name = name.replace(f"bn2d.{ours}", theirs)
    return name.replace("bn2d.moving_variance", "running_var")


def drawn(network: ms.nn.Cell, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights for a network, by its names, newly drawn."""
    rng = np.random.default_rng(seed)
    return {p.name: rng.uniform(0.1, 1, p.shape).astype(np.float32) for p in network.get_parameters()}


def write_ckpt(path: Path, tensors: dict[str, np.ndarray], crc_check: bool = True, **notes: object) -> None:
    rows = [{"name": name, "data": ms.Tensor(array)} for name, array in tensors.items()]
    ms.save_checkpoint(rows, str(path), crc_check=crc_check, append_dict=notes or None)


@pytest.mark.parametrize("form", ["zoo ckpt", "zoo ckpt without crc", "zoo safetensors", "pytorch", "pytorch with module."])
def test_every_tensor_goes_where_its_name_says(form: str, tmp_path: Path) -> None:
    network = narrow()
    expected = drawn(network)
    path = tmp_path / ("mine.ckpt" if "ckpt" in form else "mine.safetensors")
    if "ckpt" in form:
        write_ckpt(path, expected, crc_check="without" not in form)
    elif form == "zoo safetensors":
        save_file(expected, path)
    else:
        prefix = "module." if "module." in form else ""
        save_file({prefix + pytorch_name(name): array for name, array in expected.items()}, path)
    report = load_pretrained(network, path)
    found = values(network)
    assert all((found[name] == expected[name]).all() for name in expected)
    assert set(report.loaded) == set(expected)
    assert (report.skipped, report.new) == ({}, ())


def test_a_head_for_other_classes_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    network = narrow(num_classes=5)
    before = values(network)
    expected = drawn(narrow(num_classes=7))
    save_file(expected, tmp_path / "seven.safetensors")
    report = load_pretrained(network, tmp_path / "seven.safetensors")
    found = values(network)
    assert (found["fc.weight"] == before["fc.weight"]).all()
    assert all((found[name] == expected[name]).all() for name in expected if not name.startswith("fc."))
    assert report.new == ("fc.weight", "fc.bias")
    assert set(report.skipped) == {"fc.weight", "fc.bias"}
    assert report.lines() == [
        f"weights from {tmp_path / 'seven.safetensors'}:",
        "  loaded     60",
        "  skipped     2  the head is for 7 classes, the network has 5: fc.bias, fc.weight",
        "  new         2  fc.weight, fc.bias",
    ]


def test_what_is_not_the_networks_is_left_out_with_the_reason(tmp_path: Path) -> None:
    network = narrow()
    others = {
        "moments.layer4.0.conv1.weight": np.ones((64, 32, 3, 3, 3), np.float32),
        "moments.fc.weight": np.ones((7, 64), np.float32),
        "global_step": np.ones(1, np.int32),
    }
    expected = drawn(network)
    write_ckpt(tmp_path / "run.ckpt", {**others, **expected}, epoch_num=3, note="hello")
    report = load_pretrained(network, tmp_path / "run.ckpt")
    assert set(report.skipped) == {*others, "epoch_num", "note"}
    assert set(report.skipped.values()) == {"not the network's (optimiser, counters, notes)"}
    assert (network.fc.weight.asnumpy() == expected["fc.weight"]).all()
    counter = {"bn1.num_batches_tracked": np.array(9)}
    save_file({**{pytorch_name(name): array for name, array in expected.items()}, **counter}, tmp_path / "a.safetensors")
    assert load_pretrained(network, tmp_path / "a.safetensors").skipped == {"bn1.num_batches_tracked": "a counter"}


def test_a_checkpoint_of_this_project_loads(tmp_path: Path) -> None:
    trained = narrow(num_classes=2)
    clip = ClipConfig(
        frames=8, stride=1, size=24, crop_scale=(0.5, 1.0), crop_ratio=(0.75, 1.3), flip=0.0, mean=(0.4,) * 3, std=(0.2,) * 3
    )
    meta = CheckpointMetadata(
        model=ModelConfig(name="resnet3d", **NARROW),
        clip=clip,
        dataset="ucf101",
        split="1",
        class_names=("Alpha", "Beta"),
        epoch=3,
    )
    checkpoint.take_snapshot(trained, meta).write(tmp_path / "last.ckpt")
    network = narrow(num_classes=2)
    report = load_pretrained(network, tmp_path / "last.ckpt")
    assert list(report.skipped) == [checkpoint.META]
    assert report.new == ()
    assert (network.fc.weight.asnumpy() == trained.fc.weight.asnumpy()).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("layer2.0.conv1.weight"), "lacks 1 of the network's 62 tensors, layer2.0.conv1.weight"),
        (
            lambda t: t.update({"layer1.0.bn1.bn2d.beta": np.ones(9, np.float32)}),
            "layer1.0.bn1.bn2d.beta is 9, the network's",
        ),
        (
            lambda t: t.update({"layer1.1.conv1.weight": np.ones(9, np.float32)}),
            "layer1.1.conv1.weight, which the network lacks",
        ),
        (lambda t: t.update({"module.conv1.weight": t["conv1.weight"]}), "has conv1.weight twice"),
        (lambda t: t["conv1.weight"].fill(np.nan), "conv1.weight holds values that are not finite"),
        (
            lambda t: t.update({"fc.weight": np.ones((9, 9), np.float32)}),
            "fc.weight is 9x9, the network's fc.weight is 7x64",
        ),
        (lambda t: t.clear(), "lacks 60 of the network's 62 tensors, conv1.weight, bn1.bn2d.moving_mean and 58 more"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(change: object, says: str, tmp_path: Path) -> None:
    network = narrow()
    before = values(network)
    tensors = drawn(network)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(InputError) as raised:
        load_pretrained(network, tmp_path / "x.safetensors")
    assert says in str(raised.value)
    after = values(network)
    assert all((after[name] == before[name]).all() for name in before)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.pth", None, "does not exist"),
        ("a.onnx", b"x", "no file of weights: their names end in .pth, .pt, .ckpt, .safetensors"),
        ("a.pth", b"hello", "is damaged or no PyTorch file"),
        ("a.ckpt", b"hello", "is damaged or no MindSpore checkpoint"),
        ("a.safetensors", b"hello", "is damaged or no safetensors file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    name: str, content: bytes | None, says: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as raised:
        load_pretrained(narrow(), tmp_path / name)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    network = narrow()
    halves = {name: array.astype(np.float16) for name, array in drawn(network).items()}
    save_file(halves, tmp_path / "half.safetensors")
    load_pretrained(network, tmp_path / "half.safetensors")
    assert network.fc.weight.dtype == ms.float32
    assert (network.fc.weight.asnumpy() == halves["fc.weight"]).all()


def test_a_damaged_checkpoint_with_a_checksum_is_noticed(tmp_path: Path) -> None:
    network = narrow()
    write_ckpt(tmp_path / "a.ckpt", drawn(network))
    whole = bytearray((tmp_path / "a.ckpt").read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "a.ckpt").write_bytes(whole)
    with pytest.raises(InputError, match=r"a\.ckpt is damaged"):
        load_pretrained(network, tmp_path / "a.ckpt")


def test_the_zoos_resnet3d_50_loads_with_nothing_skipped(shared: Path, tmp_path: Path) -> None:
    lines = (shared / "reference/resnet3d50_101_params.tsv").read_text().splitlines()[1:]
    shapes = {name: tuple(map(int, shape.split("x"))) for name, shape, _ in (line.split("\t") for line in lines)}
    rng = np.random.default_rng(0)
    tensors = {name: np.full(shape, rng.uniform(), np.float32) for name, shape in shapes.items()}
    write_ckpt(tmp_path / "zoo.ckpt", tensors, crc_check=False)
    with ms.nn.utils.no_init_parameters():
        network = build_model("resnet3d", num_classes=101)
    report = load_pretrained(network, tmp_path / "zoo.ckpt")
    assert (len(report.loaded), report.skipped, report.new) == (len(lines), {}, ())
    assert all((p.asnumpy() == tensors[p.name]).all() for p in network.get_parameters())
