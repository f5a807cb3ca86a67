"""What test_ranks.py runs in the processes of msrun, and alone:  python rank_jobs.py OUT CLIPS"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from train import devices
from train.config import OptimizerConfig, PrecisionConfig, ScheduleConfig, load_recipe
from train.step import new_step

STEPS = 20
CLIPS = 16
"""In a batch over all ranks."""


class Net(nn.Cell):
    """A stem and a stage with batch norm, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 4, 3)
        self.bn1 = nn.BatchNorm3d(4)
        self.layer1 = nn.SequentialCell([nn.Conv3d(4, 4, 3, stride=2), nn.BatchNorm3d(4), nn.ReLU()])
        self.fc = nn.Dense(4, 3)

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        return self.fc(self.layer1(self.bn1(self.conv1(clip_NCTHW))).mean((2, 3, 4)))


def train(mode: str, clips: int, rank: int, ranks: int) -> dict[str, np.ndarray]:
    """Train on this rank's share of the same batches, the last two clips of each being padding; what comes of it."""
    ms.set_seed(1)
    network = Net()
    if mode == "frozen_bn":  # batch norm by statistics that do not change
        network.bn1.bn2d.use_batch_statistics = network.layer1[1].bn2d.use_batch_statistics = False
    recipe = replace(
        load_recipe(ROOT / "train/recipes/quick_cpu.yaml"),
        optimizer=OptimizerConfig(
            name="sgd", momentum=0.9, weight_decay=0.001, decay_norm_and_bias=False, clip_norm=1.0, accumulate=2
        ),
        schedule=ScheduleConfig(curve="cosine", learning_rate=0.1, warmup_epochs=0),
        batch_size=clips,
        epochs=1,
        sync_bn=mode == "sync_bn",
        precision=PrecisionConfig(loss_scale=1024.0, dynamic=mode == "overflow"),
    )
    if mode == "overflow" and rank == 1:  # as a chip that saturates tells of its own gradients alone
        ms.amp.all_finite = lambda gradients: ops.isfinite(gradients[0].sum() * float("inf"))
    step = new_step(network, recipe, STEPS, ranks)
    rng = np.random.default_rng(0)
    mine = slice(rank, None, ranks)  # ranks take a batch's clips in turn
    for _ in range(STEPS):
        clip_NTHWC = rng.integers(0, 256, (CLIPS, 2, 8, 8, 3), np.uint8)
        clip_NTHWC[: CLIPS // 2] //= 2  # which rank's clips are brighter changes from step to step
        label_N = rng.integers(0, 3, CLIPS).astype(np.int32)
        order = rng.permutation(CLIPS)
        weight_N = np.float32([1] * (CLIPS - 2) + [0, 0])[order]
        step(ms.Tensor(clip_NTHWC[order][mine]), ms.Tensor(label_N[mine]), ms.Tensor(weight_N[mine]))
    found = {p.name: p.asnumpy() for p in network.get_parameters()}
    return found | {p.name: p.asnumpy() for p in step.get_parameters() if p.name == "loss_scale"}


if __name__ == "__main__":
    devices.use("CPU", seed=1)
    rank, ranks = devices.join()
    for mode in ("frozen_bn", "sync_bn", "overflow"):
        np.savez(Path(sys.argv[1]) / f"{mode}_{ranks}_{rank}.npz", **train(mode, int(sys.argv[2]), rank, ranks))
