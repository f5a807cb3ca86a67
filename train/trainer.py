"""The training loop: a network's step and a stream of batches, through MindSpore's Model."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from preprocess.common.errors import InputError
from preprocess.common.progress import Meter, say
from train import checkpoint, devices
from train.checkpoint import CheckpointMetadata, TrainState
from train.config import Recipe
from train.models import build_model
from train.run_folder import BEST, KEPT, LAST, MetricsLog, remove_older
from train.schedule import learning_rates
from train.signals import Stopped, StopSignal
from train.step import averaged, totals
from train.training_data import TrainingData
from train.validation import LABELS, Validator, weights_of


def new_network(recipe: Recipe, num_classes: int) -> nn.Cell:
    """The recipe's network with fresh weights, for `num_classes` classes."""
    return build_model(recipe.model.name, num_classes=num_classes, **recipe.model.options())


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run consists of, besides its network and its progress."""

    recipe: Recipe
    folder: Path
    meta: CheckpointMetadata
    """Of its checkpoints; the epoch is filled in."""
    data: TrainingData
    validator: Validator | None
    tensorboard: bool
    stop: StopSignal

    def steps_done(self, progress: TrainState) -> int:
        """Steps of all epochs."""
        return progress.epoch * self.data.steps_per_epoch + progress.step


class Loop(ms.Callback):
    """Follows the run step by step: counts, logs, validates, saves, and stops it. Only rank 0 writes.

    `data_wait` is the share of an epoch's time between the end of a step and the start of the next, when the network
    waits for its batch. With data sinking (Ascend) a step is a whole sink, an epoch, and the wait hides inside it.
    """

    def __init__(self, run: Run, network: nn.Cell, step: nn.Cell, progress: TrainState) -> None:
        super().__init__()
        self.run = run
        self.network = network
        self.step = step
        self.progress = progress
        self.rates = learning_rates(run.recipe.schedule, run.recipe.epochs, run.data.steps_per_epoch)
        self.totals = totals(step)
        self.log = MetricsLog(run.folder, progress.epoch, run.tensorboard) if run.data.rank == 0 else None
        self.last_saved = time.monotonic()

    @property
    def clips_per_s(self) -> float:
        """Over all ranks, in the epoch under way."""
        clips = self.progress.step * self.run.recipe.batch_size * self.run.data.ranks
        return clips / max(self.progress.seconds, 1e-9)

    def on_train_begin(self, run_context: Any) -> None:
        self.begun_at = self.run.steps_done(self.progress)

    def on_train_epoch_begin(self, run_context: Any) -> None:
        self.meter = Meter(self.run.data.steps_per_epoch - self.progress.step, "steps")
        if self.progress.step == 0:
            self.totals.set_data(ms.Tensor(np.zeros(3, np.float32)))
        self.began = time.monotonic() - self.progress.seconds
        self.idle_since = time.monotonic()

    def on_train_step_begin(self, run_context: Any) -> None:
        if self.run.data.watchdog:
            self.run.data.watchdog.stop()
        waited_s = self.progress.waited_s + time.monotonic() - self.idle_since
        self.progress = replace(self.progress, waited_s=waited_s)

    def on_train_step_end(self, run_context: Any) -> None:
        arguments = run_context.original_args()
        loss = float(arguments.net_outputs.asnumpy())
        step = self.begun_at + int(arguments.cur_step_num) - self.progress.epoch * self.run.data.steps_per_epoch
        self.progress = replace(self.progress, step=step, seconds=time.monotonic() - self.began)
        if not math.isfinite(loss):
            raise self.not_finite(f"the loss is {loss}")
        self.meter.advance(f"loss {loss:.3f}  {self.so_far()}")
        if step < self.run.data.steps_per_epoch:
            stopping = self.stopping()
            if stopping or time.monotonic() - self.last_saved >= self.run.recipe.save_every_minutes * 60:
                self.save()
            if stopping:
                raise Stopped(self.run.stop.number or signal.SIGTERM)
        self.idle_since = time.monotonic()

    def on_train_epoch_end(self, run_context: Any) -> None:
        self.meter.close()
        self.end_epoch()

    def stopping(self) -> bool:
        """Whether a signal came to any rank: all of them stop after the same step."""
        return devices.on_any_rank(self.run.stop.number != 0, self.run.data.ranks)

    def so_far(self) -> str:
        """The epoch's training accuracy, speed and data wait, as text."""
        _, hits, clips = self.totals.asnumpy()
        wait = self.progress.waited_s / max(self.progress.seconds, 1e-9)
        return f"accuracy {hits / max(clips, 1):.1%}  {self.clips_per_s:.1f} clips/s  data wait {wait:.0%}"

    def not_finite(self, what: str) -> InputError:
        """The error that says where the numbers were lost."""
        step = self.run.steps_done(self.progress)
        epoch, step_in_epoch = divmod(step - 1, self.run.data.steps_per_epoch)
        names = self.run.data.batch_names(epoch, step_in_epoch)
        return InputError(
            f"{what} at step {step} (epoch {epoch + 1}), learning rate {self.rates[step - 1]:.3g}: lower "
            f"schedule.learning_rate or lengthen schedule.warmup_epochs; {self.run.folder / LAST} is from before; "
            f"the batch: {', '.join(names)}"
        )

    def save(self) -> None:
        """Write last.ckpt, to resume from here.

        Raises:
            InputError: the weights are not finite or the disk is full.
        """
        if self.run.data.rank:
            return
        self.check_finite()
        meta = replace(self.run.meta, epoch=self.progress.epoch + self.progress.step // self.run.data.steps_per_epoch)
        self.write(LAST, meta, self.step)
        self.last_saved = time.monotonic()

    def check_finite(self) -> None:
        """Check that the weights are finite.

        Raises:
            InputError: they are not.
        """
        for parameter in self.network.get_parameters():
            if not np.isfinite(parameter.asnumpy()).all():
                raise self.not_finite(f"{parameter.name} is not finite")

    def write(self, name: str, meta: CheckpointMetadata, step: nn.Cell | None = None) -> None:
        """Write a checkpoint; with `step`, one to resume from.

        Raises:
            InputError: there is no room.
        """
        path = self.run.folder / name
        try:
            checkpoint.save(self.network, meta, path, self.progress, averaged(self.step), step)
        except OSError as error:
            raise InputError(
                f"{path}: {error.strerror}: what it held before is kept; make room and continue with --resume "
                f"{self.run.folder}"
            ) from None

    def end_epoch(self) -> None:
        """What follows the last step of an epoch.

        Raises:
            Stopped: a signal came.
        """
        if self.run.data.rank == 0:
            with contextlib.suppress(Stopped):
                self.close_epoch()
        else:
            self.progress = replace(self.progress, epoch=self.progress.epoch + 1, step=0, seconds=0.0, waited_s=0.0)
        if self.stopping():
            raise Stopped(self.run.stop.number or signal.SIGTERM)

    def close_epoch(self) -> None:
        """Validate, log and save.

        Raises:
            Stopped: a signal came during validation; the steps are saved by then.
        """
        epoch, step = self.progress.epoch + 1, self.run.steps_done(self.progress)
        loss, hits, clips = (float(total) for total in self.totals.asnumpy())
        rate = float(self.rates[step - 1])
        line: dict[str, Any] = {
            "epoch": epoch,
            "step": step,
            "loss": round(loss / clips, 6),
            "accuracy": round(hits / clips, 6),
            "learning_rate": rate,
            "seconds": round(self.progress.seconds, 3),
            "clips_per_s": round(self.clips_per_s, 2),
            "data_wait": round(self.progress.waited_s / self.progress.seconds, 4),
        }
        said = f"epoch {epoch}/{self.run.recipe.epochs}  loss {loss / clips:.3f}  {self.so_far()}  rate {rate:.2g}"
        validator = self.run.validator
        better = False
        if validator and (epoch % self.run.recipe.validate_every == 0 or epoch == self.run.recipe.epochs):
            self.save()
            accuracy = validator.accuracy(weights_of(self.network, averaged(self.step)), self.check_stop)
            better = self.progress.best_accuracy is None or accuracy > self.progress.best_accuracy
            line |= {
                "validated_on": self.run.recipe.choose_best_on,
                "validation_accuracy": round(accuracy, 6),
                "validation_videos": len(validator.videos),
            }
            said += f"  {LABELS[self.run.recipe.choose_best_on]} {accuracy:.1%} of {len(validator.videos)} videos"
            said += " (best)" if better else ""
            if better:
                self.progress = replace(self.progress, best_accuracy=accuracy)
        self.progress = replace(self.progress, epoch=epoch, step=0, seconds=0.0, waited_s=0.0)
        if better:
            chosen_on, best = self.run.recipe.choose_best_on, self.progress.best_accuracy
            self.write(BEST, replace(self.run.meta, epoch=epoch, chosen_on=chosen_on, accuracy=best))
        recipe = self.run.recipe
        if recipe.keep_every_epochs and epoch % recipe.keep_every_epochs == 0:
            self.check_finite()
            self.write(KEPT.format(epoch), replace(self.run.meta, epoch=epoch))
            remove_older(self.run.folder, recipe.keep_most)
        if self.log:
            self.log.write(line)
        say(said)
        self.save()

    def check_stop(self) -> None:
        """End the run when a signal came.

        Raises:
            Stopped: one came.
        """
        if self.run.stop.number:
            raise Stopped(self.run.stop.number)


def train(run: Run, network: nn.Cell, step: nn.Cell, progress: TrainState) -> None:
    """Train from where `progress` is to the recipe's last epoch, writing checkpoints and metrics into the run's folder.

    Raises:
        InputError: the loss stops being finite, or the disk is full.
        Stopped: a signal came; all is saved.
    """
    loop = Loop(run, network, step, progress)
    loop.stopping()  # no rank writes before all have read
    if not run.steps_done(progress):
        loop.save()
    model = ms.Model(step)
    # on the CPU MindSpore falls back to feeding step by step
    if 0 < progress.step < run.data.steps_per_epoch:
        model.train(1, run.data.batches(progress.epoch, progress.step), callbacks=[loop], dataset_sink_mode=True)
    elif progress.step:
        loop.end_epoch()
    epochs_left = run.recipe.epochs - loop.progress.epoch
    if epochs_left:
        model.train(epochs_left, run.data.batches(loop.progress.epoch, 0), callbacks=[loop], dataset_sink_mode=True)
