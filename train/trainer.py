"""The training loop: a network, an optimiser and a stream of batches, through MindSpore's Model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import mindspore.dataset as ds
from mindspore import nn
from numpy.typing import NDArray

from preprocess.common.errors import InputError
from preprocess.common.progress import Meter, say
from train.config import Recipe
from train.models import build_model
from train.schedule import learning_rates
from train.step import new_step
from train.stream import Watchdog

METRICS = "metrics.jsonl"


def new_network(recipe: Recipe, num_classes: int) -> nn.Cell:
    """The recipe's network with fresh weights, for `num_classes` classes."""
    return build_model(recipe.model.name, num_classes=num_classes, **recipe.model.options())


class Recorder(ms.Callback):
    """Follows the run: metrics.jsonl, a line an epoch, `at_epoch_end(epoch)`. Stops on a loss that is not finite.

    `data_wait` is the share of an epoch's time between the end of a step and the start of the next, when the network
    waits for its batch. With data sinking (Ascend) a step is a whole sink, and the wait hides inside it.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, rates: NDArray[Any], watchdog: Watchdog, at_epoch_end: Callable[[int], None]
    ) -> None:
        super().__init__()
        self.metrics = folder / METRICS
        self.recipe = recipe
        self.rates = rates
        self.watchdog = watchdog
        self.at_epoch_end = at_epoch_end
        self.losses: list[float] = []
        self.began = self.idle_since = time.monotonic()
        self.waited_s = 0.0

    def on_train_epoch_begin(self, run_context: Any) -> None:
        self.meter = Meter(int(run_context.original_args().batch_num), "steps")
        self.losses = []
        self.began = self.idle_since = time.monotonic()
        self.waited_s = 0.0

    def on_train_step_begin(self, run_context: Any) -> None:
        self.waited_s += time.monotonic() - self.idle_since
        self.watchdog.stop()

    def on_train_step_end(self, run_context: Any) -> None:
        arguments = run_context.original_args()
        loss = float(arguments.net_outputs.asnumpy())
        if not math.isfinite(loss):
            step = int(arguments.cur_step_num)
            raise InputError(
                f"the loss is {loss} at step {step}, learning rate {self.rates[step - 1]:.3g}: "
                "lower schedule.learning_rate or lengthen schedule.warmup_epochs"
            )
        self.losses.append(loss)
        self.meter.advance(f"loss {loss:.3f}")
        self.idle_since = time.monotonic()

    def on_train_epoch_end(self, run_context: Any) -> None:
        arguments = run_context.original_args()
        seconds = time.monotonic() - self.began
        steps_per_epoch = int(arguments.batch_num)
        clips_per_s = steps_per_epoch * self.recipe.batch_size / seconds
        epoch, rate = int(arguments.cur_epoch_num), float(self.rates[int(arguments.cur_step_num) - 1])
        loss = sum(self.losses) / len(self.losses)
        line = {
            "epoch": epoch,
            "step": int(arguments.cur_step_num),
            "loss": round(loss, 6),
            "learning_rate": rate,
            "seconds": round(seconds, 3),
            "clips_per_s": round(clips_per_s, 2),
            "data_wait": round(self.waited_s / seconds, 4),
        }
        with self.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self.meter.close()
        say(
            f"epoch {epoch}/{self.recipe.epochs}  loss {loss:.3f}  rate {rate:.2g}  {clips_per_s:.1f} clips/s  "
            f"data wait {self.waited_s / seconds:.0%}"
        )
        self.at_epoch_end(epoch)


def train(
    network: nn.Cell,
    recipe: Recipe,
    batches: ds.Dataset,
    folder: Path,
    watchdog: Watchdog,
    at_epoch_end: Callable[[int], None],
) -> None:
    """Train `network` by the recipe on `batches` of clip_NTHWC, label_N and weight_N, writing metrics into `folder`.

    Raises InputError when the loss stops being finite.
    """
    steps_per_epoch = batches.get_dataset_size()
    rates = learning_rates(recipe.schedule, recipe.epochs, steps_per_epoch)
    recorder = Recorder(folder, recipe, rates, watchdog, at_epoch_end)
    # on the CPU MindSpore falls back to feeding step by step
    ms.Model(new_step(network, recipe, steps_per_epoch)).train(
        recipe.epochs, batches, callbacks=[recorder], dataset_sink_mode=True
    )
