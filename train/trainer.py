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
from train.checkpoint_writer import CheckpointWriter, Job
from train.config import Recipe
from train.models import build_model
from train.run_folder import BEST, KEPT, LAST, MetricsLog, remove_older
from train.schedule import learning_rates
from train.signals import Stopped, StopSignal
from train.step import averaged, totals
from train.training_data import TrainingData
from train.validation import LABELS, Validator, weights_of

FORWARD_SHARE = 1 / 3
"""What a window costs in a validation, as a share of a clip's cost in training: without the backward pass."""
VALIDATION_SHARE = 0.1
SINK_S = 10.0
"""Between two looks of the host, where the recipe does not say."""


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


def rare_enough(run: Run) -> int:
    """Epochs from one validation to the next, the fewest by which it takes at most `VALIDATION_SHARE` of training."""
    windows = run.validator.windows if run.validator else 0
    clips = run.data.steps_per_epoch * run.data.batch_size * run.data.ranks
    return max(math.ceil(windows * FORWARD_SHARE / (clips * VALIDATION_SHARE)), 1)


class Loop(ms.Callback):
    """Follows the run: counts, logs, validates, saves, and stops it. Only rank 0 writes.

    MindSpore calls it around a step, or, where it sinks data (Ascend), around a sink of several. Epochs begin and end by the
    number of steps done, for MindSpore's epochs are sinks there. What ends the run early is kept in `ended` and leaves by
    MindSpore's own way out, which stops and releases the queue to the device.

    `data_wait` is the share of an epoch's time in which the network waits for a batch. Step by step it is what passes
    between the end of a step and the start of the next. In a sink it is what the host took to fetch the batches, if the
    queue was empty after the last: an upper bound.
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
        self.validate_every = run.recipe.validate_every or rare_enough(run)
        self.writer = CheckpointWriter()
        self.jobs: dict[str, Job] = {}
        self.saved: TrainState | None = None
        self.ended: Exception | None = None
        self.steps_timed, self.seconds_timed = 0, 0.0
        self.fetched_s = 0.0

    @property
    def clips_per_s(self) -> float:
        """Over all ranks, in the epoch under way."""
        clips = self.progress.step * self.run.recipe.batch_size * self.run.data.ranks
        return clips / max(self.progress.seconds, 1e-9)

    def on_train_begin(self, run_context: Any) -> None:
        self.begun_at = self.run.steps_done(self.progress)
        self.meter = Meter(self.run.data.steps_per_epoch - self.progress.step, "steps")
        self.idle_since = time.monotonic()
        self.began = self.idle_since - self.progress.seconds
        self.steps_timed, self.seconds_timed = 0, 0.0
        self.fetched_s = 0.0

    def on_train_step_begin(self, run_context: Any) -> None:
        self.run.stop.block()
        if self.run.data.watchdog:
            self.run.data.watchdog.stop()
        if self.progress.step == 0:
            self.begin_epoch()
        waited_s = self.progress.waited_s + time.monotonic() - self.idle_since
        self.progress = replace(self.progress, waited_s=waited_s)

    def on_train_step_end(self, run_context: Any) -> None:
        try:
            self.writer.check()
            self.after_steps(run_context.original_args())
            self.start_writing()
        except (Stopped, InputError) as error:
            self.ended = error
            run_context.request_stop()
        self.idle_since = time.monotonic()

    def begin_epoch(self) -> None:
        """What comes before an epoch's first step."""
        self.totals.set_data(ms.Tensor(np.zeros(4, np.float32)))
        self.meter = Meter(self.run.data.steps_per_epoch, "steps")
        self.began = self.idle_since

    def after_steps(self, arguments: Any) -> None:
        """What follows a step, or a sink of several.

        Raises:
            InputError: the loss is not finite, or there is no room for a checkpoint.
            Stopped: a signal came.
        """
        loss = float(arguments.net_outputs.asnumpy())  # waits until the steps are done
        step = self.begun_at + int(arguments.cur_step_num) - self.progress.epoch * self.run.data.steps_per_epoch
        steps = step - self.progress.step
        waited_s = self.progress.waited_s + (self.waited_in_sink(arguments.dataset_helper) if devices.sinks() else 0.0)
        self.progress = replace(self.progress, step=step, seconds=time.monotonic() - self.began, waited_s=waited_s)
        if arguments.cur_step_num > steps:  # not the first, which compiles
            self.steps_timed += steps
            self.seconds_timed += time.monotonic() - self.idle_since
        loss_sum, hits, clips, finite = self.totals.asnumpy().tolist()
        if not math.isfinite(loss_sum):
            before = self.progress.epoch * self.run.data.steps_per_epoch + int(finite)
            raise self.not_finite(f"the loss is {loss_sum}", before + 1)
        self.meter.advance(f"loss {loss:.3f}  {self.so_far(hits / max(clips, 1))}", steps)
        if step == self.run.data.steps_per_epoch:
            self.meter.close()
            self.end_epoch()
            return
        stopping = self.stopping()
        if stopping or self.due():
            self.save()
        if stopping:
            raise Stopped(self.run.stop.number or signal.SIGTERM)

    def waited_in_sink(self, helper: Any) -> float:
        """Seconds of the last sink in which the network may have waited."""
        fetched_s = sum(float(fetched) for _, _, _, fetched in helper.iter.get_send_info())
        before, self.fetched_s = self.fetched_s, fetched_s
        if helper.get_mbuf_queue_size():
            return 0.0
        return min(fetched_s - before, time.monotonic() - self.idle_since)

    def steps_within(self, seconds: float) -> int:
        """How many steps take so long, on rank 0; at least one. All ranks must call this."""
        steps = seconds * self.steps_timed / max(self.seconds_timed, 1e-9) if self.run.data.rank == 0 else 0.0
        return max(int(devices.sum_over_ranks([steps], self.run.data.ranks)[0]), 1)

    def stopping(self) -> bool:
        """Whether a signal came to any rank: all of them stop after the same step."""
        return devices.on_any_rank(self.run.stop.number != 0, self.run.data.ranks)

    def so_far(self, accuracy: float) -> str:
        """The epoch's training accuracy, speed and data wait, as text."""
        wait = self.progress.waited_s / max(self.progress.seconds, 1e-9)
        return f"accuracy {accuracy:.1%}  {self.clips_per_s:.1f} clips/s  data wait {wait:.0%}"

    def not_finite(self, what: str, step: int) -> InputError:
        """The error that says where the numbers were lost: in this step of all epochs, counted from 1."""
        epoch, step_in_epoch = divmod(step - 1, self.run.data.steps_per_epoch)
        names = self.run.data.batch_names(epoch, step_in_epoch)
        return InputError(
            f"{what} at step {step} (epoch {epoch + 1}), learning rate {self.rates[step - 1]:.3g}: lower "
            f"schedule.learning_rate or lengthen schedule.warmup_epochs; {self.run.folder / LAST} is from before; "
            f"the batch: {', '.join(names)}"
        )

    def due(self) -> bool:
        """Whether last.ckpt is to be written by time."""
        return time.monotonic() - self.last_saved >= self.run.recipe.save_every_minutes * 60

    def save(self) -> None:
        """Have last.ckpt written, to resume from here, unless it is."""
        if self.run.data.rank or self.progress == self.saved:
            return
        self.saved = self.progress
        meta = replace(self.run.meta, epoch=self.progress.epoch + self.progress.step // self.run.data.steps_per_epoch)
        self.write(LAST, meta, self.step)
        self.last_saved = time.monotonic()

    def write(self, name: str, meta: CheckpointMetadata, step: nn.Cell | None = None) -> None:
        """Have a checkpoint of what is now written by the thread, on rank 0; with `step`, one to resume from."""
        if self.run.data.rank:
            return
        progress = self.progress
        snapshot = checkpoint.take_snapshot(self.network, meta, progress, averaged(self.step), step)
        weights = [parameter.name for parameter in self.network.get_parameters()]
        path = self.run.folder / name

        def job() -> None:
            for weight in weights:
                if not np.isfinite(snapshot.parameters[weight]).all():
                    raise self.not_finite(f"{weight} is not finite", self.run.steps_done(progress))
            try:
                snapshot.write(path)
            except OSError as error:
                raise InputError(
                    f"{path}: {error.strerror}: what it held before is kept; make room and continue with --resume "
                    f"{self.run.folder}"
                ) from None

        self.jobs[name] = job

    def start_writing(self) -> None:
        """Begin to write what was copied since the last look."""
        if self.jobs:
            self.writer.start(self.jobs)
            self.jobs = {}

    def end_epoch(self) -> None:
        """What follows the last step of an epoch.

        Raises:
            Stopped: a signal came.
        """
        with contextlib.suppress(Stopped):
            self.close_epoch()
        stopping, at_end = self.stopping(), self.progress.epoch == self.run.recipe.epochs
        if stopping or at_end or self.due():
            self.save()
        if stopping:
            raise Stopped(self.run.stop.number or signal.SIGTERM)

    def close_epoch(self) -> None:
        """Validate, on all ranks together, log and save.

        Raises:
            Stopped: a signal came during validation.
        """
        recipe, epoch, step = self.run.recipe, self.progress.epoch + 1, self.run.steps_done(self.progress)
        loss, hits, clips = self.totals_of_ranks()
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
        said = f"epoch {epoch}/{recipe.epochs}  loss {loss / clips:.3f}  {self.so_far(hits / clips)}  rate {rate:.2g}"
        validator = self.run.validator
        better = False
        if validator and (epoch % self.validate_every == 0 or epoch == recipe.epochs):
            if self.due():
                self.save()
                self.start_writing()
            accuracy = validator.accuracy(weights_of(self.network, averaged(self.step)), self.check_stop)
            better = self.progress.best_accuracy is None or accuracy > self.progress.best_accuracy
            line |= {
                "validated_on": recipe.choose_best_on,
                "validation_accuracy": round(accuracy, 6),
                "validation_videos": len(validator.videos),
            }
            said += f"  {LABELS[recipe.choose_best_on]} {accuracy:.1%} of {len(validator.videos)} videos"
            said += " (best)" if better else ""
            if better:
                self.save()  # what is resumed must not be behind what was chosen
                self.progress = replace(self.progress, best_accuracy=accuracy)
        self.progress = replace(self.progress, epoch=epoch, step=0, seconds=0.0, waited_s=0.0)
        if better:
            best = self.progress.best_accuracy
            self.write(BEST, replace(self.run.meta, epoch=epoch, chosen_on=recipe.choose_best_on, accuracy=best))
        if recipe.keep_every_epochs and epoch % recipe.keep_every_epochs == 0:
            self.write(KEPT.format(epoch), replace(self.run.meta, epoch=epoch))
            self.jobs["older ones"] = lambda: remove_older(self.run.folder, recipe.keep_most)
        if self.log:
            self.log.write(line)
            say(said)

    def totals_of_ranks(self) -> tuple[float, float, float]:
        """Loss, hits and clips of the epoch, on all ranks together."""
        loss, hits, clips = devices.sum_over_ranks(self.totals.asnumpy()[:3].tolist(), self.run.data.ranks)
        return loss, hits, clips

    def check_stop(self) -> None:
        """End the run when a signal came to any rank.

        Raises:
            Stopped: one came.
        """
        if self.stopping():
            raise Stopped(self.run.stop.number or signal.SIGTERM)


def train(run: Run, network: nn.Cell, step: nn.Cell, progress: TrainState) -> None:
    """Train from where `progress` is to the recipe's last epoch, writing checkpoints and metrics into the run's folder.

    Raises:
        InputError: the loss stops being finite, or the disk is full.
        Stopped: a signal came; all is saved.
    """
    loop = Loop(run, network, step, progress)
    loop.stopping()  # no rank writes before all have read
    try:
        train_epochs(loop, ms.Model(step))
    finally:
        loop.start_writing()
        loop.writer.close()


def train_epochs(loop: Loop, model: ms.Model) -> None:
    """Train from where the loop is to the recipe's last epoch.

    Raises:
        InputError, Stopped: as `train`.
    """
    recipe = loop.run.recipe
    if not loop.run.steps_done(loop.progress):
        loop.save()
        loop.start_writing()
    if loop.progress.step == loop.run.data.steps_per_epoch:
        loop.end_epoch()
    if devices.sinks() and loop.progress.epoch < recipe.epochs and (loop.progress.step or not recipe.sink_steps):
        feed(model, loop, loop.progress.epoch + 1, recipe.sink_steps or 1)
    if loop.progress.epoch < recipe.epochs:
        feed(model, loop, recipe.epochs, recipe.sink_steps or loop.steps_within(SINK_S))


def feed(model: ms.Model, loop: Loop, last_epoch: int, sink_steps: int) -> None:
    """Train to the end of an epoch; where MindSpore sinks data, in sinks of at most `sink_steps`.

    Raises:
        InputError, Stopped: as `train`.
    """
    data, progress = loop.run.data, loop.progress
    batches = data.batches(range(progress.epoch, last_epoch), progress.step)
    if devices.sinks():
        in_an_epoch = data.steps_per_epoch - progress.step
        sink = max(n for n in range(1, min(sink_steps, in_an_epoch) + 1) if in_an_epoch % n == 0)
        sinks = batches.get_dataset_size() // sink
        model.train(sinks, batches, callbacks=[loop], dataset_sink_mode=True, sink_size=sink)
    else:
        model.train(1, batches, callbacks=[loop], dataset_sink_mode=False)
    if loop.ended:
        raise loop.ended
