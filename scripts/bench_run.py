"""What a run costs besides its steps: saving, validation, between epochs, start and end.

    python scripts/bench_run.py --epochs 200 --steps 10 --step-ms 128 --ranks 2 --json work/run.json

A whole run by train/trainer.py at real size: ResNet3D-50's 46 million parameters and their momentum, checkpoints included.
Replaced are the step, by waiting, which as on an NPU leaves the host free, and the stream, by batches that are ready. The
accuracy that a validation finds rises in the first tenth of the run and then now and then, so that best.ckpt is written too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore import nn

from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from scripts.benchmarking import report
from train import devices, trainer
from train.checkpoint import CheckpointMetadata, TrainState
from train.cluster import Cluster, free_port
from train.config import DEFAULT_RECIPE, Recipe, load_recipe
from train.ranks import Launch
from train.signals import StopSignal
from train.step import new_step, totals
from train.trainer import Run
from train.training_data import TrainingData

CLASSES = 101
VALIDATION_VIDEOS = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure what a run costs besides its steps."""

    epochs: int = 200
    """Of the run."""
    steps: int = 10
    """Of an epoch."""
    step_ms: float = 128.0
    """What a step takes, in milliseconds."""
    ranks: int = 2
    """CPU ranks, started by msrun if there are several."""
    optimizer: str = "momentum"
    """Of the recipe; sgd has two tensors a weight to save, not one."""
    json: Path | None = None
    """Where to write the figures."""
    folder: Path | None = None
    """Of one rank: where to write what it found. For the ranks that this command starts."""


class WaitingStep(nn.Cell):
    """Has the parameters of a training step, and waits in its place."""

    def __init__(self, step: nn.Cell, seconds: float) -> None:
        super().__init__(auto_prefix=False)
        self.whole = step
        self.seconds = seconds
        self.counted = totals(step)
        self.began: list[float] = []
        self.ended: list[float] = []

    def __call__(self, *_: ms.Tensor) -> ms.Tensor:
        self.began.append(time.monotonic())
        time.sleep(self.seconds)
        self.counted.set_data(ms.Tensor(self.counted.asnumpy() + np.ones(4, np.float32)))
        self.ended.append(time.monotonic())
        return ms.Tensor(1.0, ms.float32)


@dataclass(frozen=True, kw_only=True)
class ReadyData(TrainingData):
    """Batches that are ready: they are empty."""

    steps: int

    @property
    def steps_per_epoch(self) -> int:
        return self.steps

    def batches(self, epochs: range = range(1), step: int = 0) -> ds.Dataset:
        rows = np.zeros((len(epochs) * self.steps - step, 1), np.uint8)
        return ds.NumpySlicesDataset({"clip": rows}, shuffle=False, num_parallel_workers=1)


class ReadyValidator:
    """Finds an accuracy at once."""

    def __init__(self, epochs: int) -> None:
        self.videos = [None] * VALIDATION_VIDEOS
        self.windows = 0
        self.epochs = epochs
        self.asked = 0

    def accuracy(self, weights: Mapping[str, ms.Parameter], check: Callable[[], None]) -> float:
        check()
        self.asked += 1
        first = min(self.asked, self.epochs // 10)
        return (first + self.asked // 20) / (2 * self.epochs)


def main(options: Options) -> int:
    for name in ("epochs", "steps", "ranks"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} {getattr(options, name)} is not 1 or more")
    if options.folder:
        one_rank(options, options.folder)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.ranks == 1:
            one_rank(options, folder)
        else:
            start_ranks(options, folder)
        figures = files.read_json(folder / "figures.json")
    shaped = {name: value for name, value in asdict(options).items() if name not in ("json", "folder")}
    report("run", {**shaped, **figures}, options.json)
    return 0


def start_ranks(options: Options, folder: Path) -> None:
    """Run all ranks to their end.

    Raises:
        InputError: one failed.
    """
    arguments = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in ("epochs", "steps", "step_ms", "ranks")]
    arguments += [f"--optimizer={options.optimizer}", f"--folder={folder}"]
    ranks = Cluster(devices=options.ranks, hosts=1, host_rank=0, address="127.0.0.1", port=free_port(), bind=False)
    launch = Launch(ranks, folder / "logs", Path(__file__).resolve(), arguments)
    try:
        code = launch.wait()
    finally:
        launch.clean_up()
    if code:
        raise InputError(f"a rank ended with {code}")


def one_rank(options: Options, folder: Path) -> None:
    """The run; rank 0 leaves its figures in `folder`."""
    began = time.monotonic()
    os.environ.setdefault("DEVICE_TARGET", "CPU")
    devices.use(devices.target(), seed=1)
    rank, ranks = devices.join()
    recipe = recipe_of(options)
    network = trainer.new_network(recipe, CLASSES)
    step = new_step(network, recipe, options.steps, ranks)
    waiting = WaitingStep(step, options.step_ms / 1e3)
    out = folder / "run"
    out.mkdir(exist_ok=True)
    spent = {name: Stopwatch(trainer.Loop, name) for name in ("write", "start_writing", "close_epoch", "after_steps")}
    run = Run(
        recipe=recipe,
        folder=out,
        meta=CheckpointMetadata(
            model=recipe.model, clip=recipe.clip, dataset="none", split="1", class_names=("any",) * CLASSES, epoch=0
        ),
        data=ReadyData(
            videos=(), clip=recipe.clip, batch_size=recipe.batch_size, seed=1, rank=rank, ranks=ranks, steps=options.steps
        ),
        validator=ReadyValidator(options.epochs),  # type: ignore[arg-type]
        tensorboard=False,
        stop=StopSignal(),
    )
    with devices.work_aside():
        trainer.train(run, network, waiting, TrainState(recipe=recipe, records_sha256="", ranks=ranks))
    if rank == 0:
        files.write_json(folder / "figures.json", figures_of(options, waiting, spent, began))
        say(f"{out / 'last.ckpt'}: {(out / 'last.ckpt').stat().st_size / 1e6:.0f} MB")


def recipe_of(options: Options) -> Recipe:
    """ucf101_r3d50, so long."""
    recipe = load_recipe(DEFAULT_RECIPE)
    optimizer = replace(recipe.optimizer, name=options.optimizer)  # type: ignore[arg-type]
    schedule = replace(recipe.schedule, warmup_epochs=0.0)
    return replace(recipe, epochs=options.epochs, optimizer=optimizer, schedule=schedule, val_fraction=0.1)


class Stopwatch:
    """Adds up the seconds in a method, for as long as the process lives."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds = 0.0
        self.calls = 0
        method = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.monotonic()
            try:
                return method(*arguments, **options)
            finally:
                self.seconds += time.monotonic() - began
                self.calls += 1

        setattr(owner, name, timed)


def figures_of(options: Options, step: WaitingStep, spent: dict[str, Stopwatch], began: float) -> dict[str, float]:
    """The figures, in seconds and shares."""
    ended = time.monotonic()
    steps_s = sum(b - a for a, b in zip(step.began, step.ended, strict=True))
    gaps = [b - a for a, b in zip(step.ended, step.began[1:], strict=False)]
    between = gaps[options.steps - 1 :: options.steps]
    within = [gap for n, gap in enumerate(gaps, start=1) if n % options.steps]
    from_first = ended - step.began[0]
    return {
        "run_s": ended - began,
        "steps_s": steps_s,
        "not_steps": 1 - steps_s / (ended - began),
        "not_steps_from_the_first_step": 1 - steps_s / from_first,
        "start_s": step.began[0] - began,
        "end_s": ended - step.ended[-1],
        "between_epochs_ms": 1e3 * median(between) if between else 0.0,
        "between_epochs_max_ms": 1e3 * max(between, default=0.0),
        "between_steps_ms": 1e3 * median(within) if within else 0.0,
        "copying_s": spent["write"].seconds,
        "checkpoints": spent["write"].calls,
        "waiting_for_writes_s": spent["start_writing"].seconds,
    }


if __name__ == "__main__":
    cli.run(main, Options)
