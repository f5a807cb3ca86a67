from __future__ import annotations

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from conftest import ROOT
from mindspore import nn

from preprocess.common.errors import InputError
from train.config import load_recipe
from train.freeze import freeze
from train.models import build_model
from train.step import new_step

RECIPE = replace(load_recipe(ROOT / "train/recipes/quick_cpu.yaml"), batch_size=2)


pytestmark = pytest.mark.usefixtures("on_the_cpu")


class Net(nn.Cell):
    """Stages as those of the networks, one layer each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 4, 3)
        self.bn1 = nn.BatchNorm3d(4)
        self.relu = nn.ReLU()
        self.layer1 = nn.SequentialCell([nn.Conv3d(4, 4, 3), nn.BatchNorm3d(4)])
        self.layer4 = nn.SequentialCell([nn.Conv3d(4, 4, 3), nn.BatchNorm3d(4)])
        self.fc = nn.Dense(4, 3)

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        x_NCTHW = self.relu(self.bn1(self.conv1(clip_NCTHW)))
        return self.fc(self.relu(self.layer4(self.layer1(x_NCTHW))).mean((2, 3, 4)))


def train(network: nn.Cell, frozen_bn: str, steps: int) -> dict[str, bool]:
    """Train with all before layer4 frozen; says of each parameter, by name, whether it is the same to the bit."""
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    step = new_step(network, replace(RECIPE, freeze_until="layer4", frozen_bn=frozen_bn), steps)
    rng = np.random.default_rng(0)
    for i in range(steps):
        step.set_train()  # as Model does
        clip_NTHWC = rng.integers(0, 256, (2, 4, 8, 8, 3), np.uint8)
        step(ms.Tensor(clip_NTHWC), ms.Tensor(np.int32([i % 3, 1])), ms.Tensor(np.ones(2, np.float32)))
    assert [p.name for p in network.get_parameters()] == list(before)
    return {p.name: bool((p.asnumpy() == before[p.name]).all()) for p in network.get_parameters()}


def test_frozen_stages_and_their_statistics_stay_as_they_are_to_the_bit() -> None:
    for name, same in train(Net(), "eval", 20).items():
        assert same == (not name.startswith(("layer4", "fc"))), name


def test_frozen_batch_norm_follows_the_batch_where_the_recipe_says_train() -> None:
    for name, same in train(Net(), "train", 3).items():
        statistic = name.endswith(("moving_mean", "moving_variance"))
        assert same == (not name.startswith(("layer4", "fc")) and not statistic), name


def test_no_gradient_comes_out_of_the_first_stage_that_trains() -> None:
    clip_NCTHW = ms.Tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 8, 8)).astype(np.float32))

    def gradient(network: nn.Cell) -> float:
        return float(np.abs(ms.grad(network)(clip_NCTHW).asnumpy()).max())

    network = Net()
    assert gradient(network) > 0
    freeze(network, "layer4")
    assert gradient(network) == 0


@pytest.mark.parametrize("stage", ["layer1", "layer3", "layer4", "fc"])
def test_every_stage_of_a_network_can_be_the_first_that_trains(stage: str) -> None:
    network = build_model("resnet3d", num_classes=3, depth=10, widen_factor=0.125)
    names = [p.name for p in network.get_parameters()]
    all_trainable = [p.name for p in network.trainable_params()]
    freeze(network, stage)
    assert [p.name for p in network.get_parameters()] == names
    first = next(i for i, name in enumerate(all_trainable) if name.startswith(stage))
    assert [p.name for p in network.trainable_params()] == all_trainable[first:]


def test_a_stage_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        InputError, match=r"no stage 'layer_4'; did you mean layer4\? The stages: conv1, bn1, layer1, layer4"
    ):
        freeze(Net(), "layer_4")
