"""A run that takes a second: a network of two layers on the clips of the fixture `records`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from conftest import ROOT
from mindspore import nn

from mindrecord import manifest
from train import checkpoint, devices, trainer
from train.checkpoint import CheckpointMetadata, TrainState
from train.config import Recipe, load_recipe
from train.run_folder import METRICS
from train.signals import StopSignal
from train.step import new_step
from train.trainer import Run
from train.training_data import TrainingData, training_videos
from train.watchdog import Watchdog

EPOCHS = 3


class Tiny(nn.Cell):
    """logits_NK of a clip's mean colours in two layers, quick to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Dense(3, 8, weight_init=weights((8, 3)), bias_init="zeros")
        self.norm = nn.BatchNorm1d(8)
        self.fc = nn.Dense(8, 2, weight_init=weights((2, 8)), bias_init="zeros")

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        return self.fc(self.norm(self.hidden(clip_NCTHW.mean((2, 3, 4)))))


def weights(shape: tuple[int, int]) -> ms.Tensor:
    return ms.Tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def tiny_recipe() -> Recipe:
    """quick_cpu on clips of 4 frames of 16 pixels; saves after every step."""
    devices.use("CPU", seed=1)
    read = load_recipe(ROOT / "train/recipes/quick_cpu.yaml")
    clip = replace(read.clip, frames=4, size=16)
    schedule = replace(read.schedule, learning_rate=0.05)
    return replace(read, clip=clip, schedule=schedule, epochs=EPOCHS, batch_size=2, save_every_minutes=0.0)


class FixedValidator:
    """Stands in for a Validator: says these accuracies in turn."""

    def __init__(self, accuracies: list[float], when: Callable[[int], None] = lambda _: None) -> None:
        self.accuracies = accuracies
        self.when = when
        self.videos = [None] * 4
        self.windows = 1
        self.asked = 0

    def accuracy(self, weights: dict[str, ms.Parameter], check: Callable[[], None]) -> float:
        self.when(self.asked)
        check()
        self.asked += 1
        return self.accuracies[self.asked - 1]


def make_run(folder: Path, records: Path, recipe: Recipe, validator: Any = None) -> Run:
    packed = manifest.load(records)
    folder.mkdir(exist_ok=True)
    data = TrainingData(
        videos=training_videos(records, packed, "1", recipe.batch_size),
        clip=recipe.clip,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        watchdog=Watchdog(recipe.batch_size),
    )
    meta = CheckpointMetadata(
        model=recipe.model, clip=recipe.clip, dataset="ucf101", split="1", class_names=packed.class_names, epoch=0
    )
    return Run(recipe=recipe, folder=folder, meta=meta, data=data, validator=validator, tensorboard=False, stop=StopSignal())


def go(run: Run, resume: Path | None = None) -> dict[str, np.ndarray]:
    """Train, from the start or from a checkpoint; returns all parameters of the step."""
    network = Tiny()
    step = new_step(network, run.recipe, run.data.steps_per_epoch)
    progress = TrainState(recipe=run.recipe, records_sha256="0" * 64, ranks=1)
    if resume:
        _, progress, parameters = checkpoint.load_for_resume(resume)
        checkpoint.restore_step(step, parameters, resume)
    trainer.train(run, network, step, progress)
    return {parameter.name: parameter.asnumpy() for parameter in step.get_parameters()}


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the times."""
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "clips_per_s", "data_wait")} for line in lines]
