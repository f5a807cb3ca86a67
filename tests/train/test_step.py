from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from conftest import ROOT
from mindspore import nn

from train import devices
from train.config import load_recipe
from train.step import WeightedLoss


class Mean(nn.Cell):
    """logits_NK of a clip: its mean red, green and blue."""

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        return clip_NCTHW.mean((2, 3, 4))


def test_clips_of_weight_zero_leave_the_loss_as_it_is_without_them() -> None:
    devices.use("CPU", seed=0)
    recipe = load_recipe(ROOT / "train/recipes/quick_cpu.yaml")
    clip_NTHWC = np.random.default_rng(0).integers(0, 255, (4, 2, 3, 3, 3), np.uint8)
    label_N = np.array([0, 2, 1, 1], np.int32)
    loss = WeightedLoss(Mean(), recipe)

    def of(clips: list[int], weights: list[float]) -> float:
        return float(loss(ms.Tensor(clip_NTHWC[clips]), ms.Tensor(label_N[clips]), ms.Tensor(np.float32(weights))).asnumpy())

    unweighted = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    logits_NK = loss.logits(ms.Tensor(clip_NTHWC))
    assert of([0, 1, 2, 3], [1, 1, 1, 1]) == pytest.approx(
        float(unweighted(logits_NK, ms.Tensor(label_N)).asnumpy()), rel=1e-5
    )
    assert of([0, 1, 2, 3], [1, 1, 0, 0]) == pytest.approx(of([0, 1, 3, 3], [1, 1, 0, 0]), rel=1e-6)
    assert of([0, 1, 2, 3], [1, 1, 0, 0]) == pytest.approx((of([0] * 4, [1] * 4) + of([1] * 4, [1] * 4)) / 2, rel=1e-5)
    assert of([0, 1, 2, 3], [0, 0, 0, 0]) == 0
