from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from conftest import ROOT

from preprocess.common.errors import InputError
from train import checkpoint
from train.config import ClipConfig, ModelConfig, load_recipe
from train.models import build_model

META = checkpoint.CheckpointMetadata(
    model=ModelConfig(name="resnet3d", depth=10, widen_factor=0.125),
    clip=ClipConfig(
        frames=8, stride=1, size=24, crop_scale=(0.5, 1.0), crop_ratio=(0.75, 1.3), flip=0.0, mean=(0.4,) * 3, std=(0.2,) * 3
    ),
    dataset="ucf101",
    split="1",
    class_names=("Alpha", "Bêta"),
    epoch=3,
)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, ms.nn.Cell]:
    network = build_model("resnet3d", num_classes=2, depth=10, widen_factor=0.125)
    checkpoint.take_snapshot(network, META).write(tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt", network


def test_a_checkpoint_rebuilds_its_network_and_says_what_it_is(saved: tuple[Path, ms.nn.Cell]) -> None:
    path, network = saved
    meta, restored = checkpoint.restore(path)
    assert meta == META
    for ours, theirs in zip(network.get_parameters(), restored.get_parameters(), strict=True):
        assert ours.name == theirs.name
        assert (ours.asnumpy() == theirs.asnumpy()).all()
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_any_flipped_byte_is_noticed(saved: tuple[Path, ms.nn.Cell]) -> None:
    path, _ = saved
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 12):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"last\.ckpt"):
            checkpoint.restore(path)


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        checkpoint.load(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(InputError, match="is damaged or no MindSpore checkpoint"):
        checkpoint.load(tmp_path / "text.ckpt")
    ms.save_checkpoint(ms.nn.Dense(2, 2), str(tmp_path / "other.ckpt"), crc_check=True)
    with pytest.raises(InputError, match=r"was not written by train/train\.py"):
        checkpoint.load(tmp_path / "other.ckpt")


def test_averages_stand_under_the_networks_names_and_the_state_is_kept_apart(tmp_path: Path) -> None:
    network = ms.nn.Dense(2, 2)
    step = ms.nn.CellList([network])
    weight = network.weight.asnumpy().copy()
    progress = checkpoint.TrainState(
        recipe=load_recipe(ROOT / "train/recipes/quick_cpu.yaml"),
        records_sha256="0" * 64,
        ranks=1,
        epoch=2,
        step=5,
        seconds=1.5,
        waited_s=0.5,
        best_accuracy=0.25,
    )
    averages = {network.weight.name: ms.Tensor(weight + 1)}
    checkpoint.take_snapshot(network, META, progress, averages, step).write(tmp_path / "last.ckpt")
    meta, parameters = checkpoint.load(tmp_path / "last.ckpt")
    assert (meta, set(parameters)) == (META, {parameter.name for parameter in network.get_parameters()})
    assert (parameters[network.weight.name].asnumpy() == weight + 1).all()
    network.weight.set_data(ms.Tensor(weight * 0))
    _, found, parameters = checkpoint.load_for_resume(tmp_path / "last.ckpt")
    checkpoint.restore_step(step, parameters, tmp_path / "last.ckpt")
    assert found == progress
    assert (network.weight.asnumpy() == weight).all()


def test_a_checkpoint_without_the_runs_state_is_not_resumed(saved: tuple[Path, ms.nn.Cell]) -> None:
    with pytest.raises(InputError, match=r"holds no training state: resume from the run's last\.ckpt"):
        checkpoint.load_for_resume(saved[0])
