"""Where a training step's time goes: reading clips, sending them to the device, or the network.

    python train/profile_step.py --recipe train/recipes/ucf101_r3d50.yaml --records work/records

Each is timed by itself over some steps, after one that does not count, and then all together as training does them: sunk on
Ascend, fed step by step on the CPU. Where they run side by side, together they take as long as the longest; where they share
processors, as on the CPU, longer. "to the device" is a copy from the host; what a sink sends goes another way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":  # a script's own folder comes first on the path, where this file would stand for the library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # profile; the project's root belongs there

import mindspore as ms
import numpy as np
from mindspore import nn
from numpy.typing import NDArray

from mindrecord import manifest
from preprocess.common import cli
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train import config, devices, trainer
from train.loader import uses_processes
from train.recipe_options import Chosen, RecipeOptions
from train.step import new_step
from train.training_data import TrainingData, training_videos

Batch = list[NDArray[Any]]
MUCH = 0.1


@dataclass(frozen=True, kw_only=True)
class Options(RecipeOptions):
    """Say where the time of a recipe's training step goes; every value of the recipe can be set here too."""

    steps: int = 10
    """Steps that are timed, after one that is not."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of a step: its clips read, decoded and augmented; sent to the device; the network and its update, these by
    themselves; all together, and how long of that the network waited for its batch."""

    data: float
    sending: float
    network: float
    together: float
    waiting: float


def main(options: Options) -> int:
    if options.steps < 1:
        raise InputError(f"--steps {options.steps} is not 1 or more")
    packed = manifest.load(options.records.resolve())
    device = devices.target()
    devices.use(device, options.settings.seed)
    records = options.records.resolve()  # now: later the working directory is another
    data = TrainingData(
        videos=training_videos(records, packed, options.split, options.settings.batch_size),
        clip=options.settings.clip,
        batch_size=options.settings.batch_size,
        seed=options.settings.seed,
        workers=available_cpus(),
        processes=uses_processes(options.loader, options.settings, available_cpus(), 1),
    )
    network = trainer.new_network(options.settings, len(packed.class_names))
    step = new_step(network, options.settings, 2 * (options.steps + 1))
    clips, is_images = options.settings.batch_size, options.settings.model.for_images
    what = "images" if is_images else "clips"
    say(f"{options.recipe.stem} on {options.records}, batches of {clips} {what}, on {device}")
    with devices.work_aside():
        for line in lines(measure(data, step, options.steps), clips, is_images):
            print(line)
    return 0


def endless(data: TrainingData) -> Iterator[Batch]:
    """A new stream of batches, epoch after epoch without end."""
    for epoch in count():
        yield from data.batches(range(epoch, epoch + 1)).create_tuple_iterator(
            num_epochs=1, output_numpy=True, do_copy=False
        )


def measure(data: TrainingData, step: nn.Cell, steps: int) -> Times:
    """Time the parts of a step by themselves, then a step."""
    source = endless(data)
    batch = next(source)
    reading = mean_of(lambda: next(source), steps)
    first = First()
    tensors = sent(batch, first)  # compiled
    sending = median_of(lambda: sent(batch, first), steps)
    step(*tensors).asnumpy()  # compiled
    network = median_of(lambda: step(*tensors).asnumpy(), steps)
    together, waiting = (sunk if devices.sinks() else fed)(data, step, steps)
    return Times(data=reading, sending=sending, network=network, together=together, waiting=waiting)


def fed(data: TrainingData, step: nn.Cell, steps: int) -> tuple[float, float]:
    """Seconds of a step that is fed from the host, and how long of it the network waited."""
    first, source = First(), endless(data)
    sent(next(source), first)
    waited, began = 0.0, time.perf_counter()
    for _ in range(steps):
        wanted = time.perf_counter()
        batch = next(source)
        waited += time.perf_counter() - wanted
        step(*sent(batch, first)).asnumpy()
    return (time.perf_counter() - began) / steps, waited / steps


def sunk(data: TrainingData, step: nn.Cell, steps: int) -> tuple[float, float]:
    """Seconds of a step that takes its batch from the queue on the device, and how long of it the network waited at most:
    all of each step that left the queue empty."""
    clock = Clock()
    epochs = range(-(-(steps + 1) // data.steps_per_epoch))
    ms.Model(step).train(steps + 1, data.batches(epochs), callbacks=[clock], dataset_sink_mode=True, sink_size=1)
    seconds = np.diff(clock.ends)
    return float(seconds.mean()), float((seconds * np.array(clock.empty[1:])).mean())


class Clock(ms.Callback):
    """Notes when each step ended, and whether it left the queue empty."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []
        self.empty: list[bool] = []

    def on_train_step_end(self, run_context: Any) -> None:
        arguments = run_context.original_args()
        arguments.net_outputs.asnumpy()  # waits for the step
        self.ends.append(time.perf_counter())
        self.empty.append(arguments.dataset_helper.get_mbuf_queue_size() == 0)


class First(nn.Cell):
    """The first value of a tensor: computing it requires the whole tensor on the device."""

    def construct(self, values: ms.Tensor) -> ms.Tensor:
        return values.reshape(-1)[0]


def sent(batch: Batch, first: nn.Cell) -> list[ms.Tensor]:
    """A batch as tensors, its clips on the device."""
    tensors = [ms.Tensor(array) for array in batch]
    first(tensors[0]).asnumpy()
    return tensors


def mean_of(action: Callable[[], Any], times: int) -> float:
    """Mean seconds of an action: for what works ahead, where a single time says nothing."""
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def median_of(action: Callable[[], Any], times: int) -> float:
    """Median of the seconds that each takes."""
    return median(mean_of(action, 1) for _ in range(times))


def lines(times: Times, clips: int, is_images: bool) -> list[str]:
    """The figures, and what they mean. An image is a clip of one frame."""
    what = "images" if is_images else "clips"
    parts = {"data": times.data, "to the device": times.sending, "network": times.network, "together": times.together}
    table = [f"{name:<14}{1e3 * part:10.1f} ms a step {clips / part:10.1f} {what}/s" for name, part in parts.items()]
    return [*table, verdict(times, is_images)]


def verdict(times: Times, is_images: bool) -> str:
    """What limits training, and what would help, as text."""
    waiting = times.waiting / times.together
    if waiting < MUCH and times.sending < MUCH * times.network:
        return (
            f"The network is what takes the time; it waits for data {waiting:.0%} of it. More data workers would not help."
        )
    if times.sending > times.data and times.sending >= MUCH * times.network:
        return (
            f"Sending a batch takes {times.sending / times.network:.0%} of the network's own time: "
            f"a smaller {'image' if is_images else 'clip'} or batch, or a faster link to the device, would help."
        )
    if times.data > times.network:
        remedy = "images that are packed smaller" if is_images else "frames packed at a smaller --short-side"
        return (
            f"The data is what takes the time: the network waits for it {waiting:.0%} of a step. It takes "
            f"{times.data / times.network:.1f} times as many processors, or {remedy}; "
            "--loader processes helps where cores are idle."
        )
    return (
        f"The network waits {waiting:.0%} of a step, though the data by itself is quick enough: "
        "the two share processors, and more of them would help."
    )


def parse(arguments: list[str]) -> Options:
    """Options whose defaults are the values of the recipe that the command line names."""
    chosen = cli.parse_known(Chosen, arguments)
    return cli.parse(Options, arguments, Options(settings=config.load_recipe(chosen.recipe), recipe=chosen.recipe))


if __name__ == "__main__":
    cli.run_parsed(main, parse)
