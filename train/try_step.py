"""What train/doctor.py has each rank do:  python train/try_step.py FOLDER

A narrow network's training step as training runs it, for two batches: sunk and in float16 on Ascend, fed and in float32 on
the CPU, with gradients summed over the ranks. FOLDER/<rank>.txt gets the names of the parts that worked, a line each.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import mindspore as ms
import mindspore.dataset as ds
import numpy as np

from train import devices
from train.config import RECIPES, load_recipe
from train.step import new_step
from train.trainer import new_network

STEPS = 2


class Losses(ms.Callback):
    """Keeps the loss of each look."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def on_train_step_end(self, run_context: object) -> None:
        self.found.append(float(run_context.original_args().net_outputs.asnumpy()))  # type: ignore[attr-defined]


def main(folder: Path) -> int:
    devices.use(devices.target(), seed=1)
    rank, ranks = devices.join()
    done = folder / f"{rank}.txt"

    def works(part: str) -> None:
        with done.open("a", encoding="utf-8") as stream:
            stream.write(f"{part}\n")

    ones = ms.ops.ones((3, 3), ms.float32)
    if float((ones @ ones).sum()) != 27:
        raise ArithmeticError("a product of matrices of ones is wrong")
    works("compute")
    if devices.sum_over_ranks([float(rank)], ranks) != [ranks * (ranks - 1) / 2]:
        raise ArithmeticError("a sum over all ranks is wrong")
    works("ranks")
    recipe = load_recipe(RECIPES / "quick_cpu.yaml")
    recipe = replace(
        recipe,
        model=replace(recipe.model, depth=10, widen_factor=0.25),
        clip=replace(recipe.clip, frames=8, size=32),
        batch_size=4,
    )
    step = new_step(new_network(recipe, num_classes=4), recipe, STEPS, ranks)
    rng = np.random.default_rng(rank)
    clips = rng.integers(0, 256, (STEPS, 4, 8, 32, 32, 3), np.uint8)
    batches = ds.GeneratorDataset(
        [(clip_NTHWC, np.arange(4, dtype=np.int32), np.ones(4, np.float32)) for clip_NTHWC in clips],
        ["clip", "label", "weight"],
        shuffle=False,
    )
    losses = Losses()
    sinks = devices.sinks()
    ms.Model(step).train(1, batches, callbacks=[losses], dataset_sink_mode=sinks, sink_size=STEPS if sinks else -1)
    if not losses.found or not all(map(math.isfinite, losses.found)):
        raise ArithmeticError(f"the losses are {losses.found}")
    works("step")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
