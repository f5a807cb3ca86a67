"""Data sinking by MindSpore's own loop, on the CPU: what it trains is what step by step trains."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import mindspore as ms
import numpy as np
import pytest
from sink_on_cpu import sinking
from tiny_run import EPOCHS, FixedValidator, Tiny, go, make_run, metrics, tiny_recipe

from preprocess.common.errors import InputError
from train import checkpoint, profile_step, trainer
from train.config import Recipe
from train.signals import Stopped
from train.step import new_step
from train.training_data import epoch_indices

STEPS = 3
"""Of an epoch."""
RUN_ON = ("send", "continue_send")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return tiny_recipe()


def with_optimizer(recipe: Recipe, name: str) -> Recipe:
    """Everything that a run carries from step to step: averages, gathered gradients, mixed clips."""
    optimizer = replace(recipe.optimizer, name=name, ema_decay=0.9, accumulate=2, weight_decay=0.01)  # type: ignore[arg-type]
    return replace(recipe, optimizer=optimizer, mixup=0.2)


def checkpoints(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """All tensors of the run's checkpoints, by file and name."""
    result = {}
    for path in sorted(folder.glob("*.ckpt")):
        values = ms.load_checkpoint(str(path)).items()
        result[path.name] = {name: value.asnumpy() for name, value in values if isinstance(value, ms.Parameter)}
    return result


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not np.array_equal(found[name], expected[name])] == []


@pytest.mark.parametrize(
    ("optimizer", "sinks"),
    [("sgd", (1, STEPS)), ("momentum", (1, STEPS)), ("adamw", (2, STEPS, 0))],  # 2 does not divide the epoch; 0 is timed
)
def test_any_sink_trains_what_step_by_step_trains(
    records: Path, tmp_path: Path, recipe: Recipe, optimizer: str, sinks: tuple[int, ...]
) -> None:
    recipe = replace(with_optimizer(recipe, optimizer), keep_every_epochs=1)
    accuracies = [0.5, 0.75, 0.25]
    expected = go(make_run(tmp_path / "fed", records, recipe, FixedValidator(accuracies)))
    for sink_steps in sinks:
        folder = tmp_path / f"sunk{sink_steps}"
        run = make_run(folder, records, replace(recipe, sink_steps=sink_steps), FixedValidator(accuracies))
        with sinking() as queues:
            assert_same(go(run), expected)
        assert metrics(folder) == metrics(tmp_path / "fed")
        found, wanted = checkpoints(folder), checkpoints(tmp_path / "fed")
        assert found.keys() == wanted.keys() == {"best.ckpt", "last.ckpt", *(f"epoch_000{n}.ckpt" for n in (1, 2, 3))}
        for name in found:
            assert_same(found[name], wanted[name])
        assert all(tuple(queue.asked[-2:]) == ("stop_send", "release") for queue in queues)


def test_the_host_looks_after_every_sink_and_a_sink_divides_the_epoch(
    records: Path, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    after_steps = trainer.Loop.after_steps

    def looked(loop: trainer.Loop, arguments: Any) -> None:
        looks.append(int(arguments.cur_step_num))
        after_steps(loop, arguments)

    monkeypatch.setattr(trainer.Loop, "after_steps", looked)
    for sink_steps, wanted in (
        (2, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1000, [3, 6, 9]),
        (0, [1, 2, 3, 3, 6]),  # the first epoch is timed; ten seconds are more than an epoch here
    ):
        looks.clear()
        with sinking():
            go(make_run(tmp_path / str(sink_steps), records, replace(recipe, sink_steps=sink_steps)))
        assert looks == wanted


def test_a_run_resumed_within_an_epoch_sinks_the_rest_of_it(records: Path, tmp_path: Path, recipe: Recipe) -> None:
    recipe = replace(with_optimizer(recipe, "momentum"), sink_steps=1)
    expected = go(make_run(tmp_path / "fed", records, recipe))
    run = make_run(tmp_path / "run", records, recipe)
    run.stop.number = signal.SIGTERM
    with sinking(), pytest.raises(Stopped):
        go(run)
    last = tmp_path / "run/last.ckpt"
    assert checkpoint.load_for_resume(last)[1].step == 1
    # what is left are two steps: no sink of three fits
    resumed = make_run(tmp_path / "run", records, replace(recipe, sink_steps=STEPS))
    with sinking() as queues:
        assert_same(go(resumed, last), expected)
    assert metrics(tmp_path / "run") == metrics(tmp_path / "fed")
    assert [queue.asked.count("continue_send") for queue in queues] == [1, EPOCHS - 1]


@pytest.mark.parametrize("unblocked", [False, True])
def test_a_sigterm_stops_after_one_sink_and_saves(records: Path, tmp_path: Path, recipe: Recipe, unblocked: bool) -> None:
    """Also after the resource tracker of multiprocessing, which TBE's compilers start too, has unblocked the signal."""
    run = make_run(tmp_path / "run", records, replace(recipe, sink_steps=1, save_every_minutes=10.0))
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    tick = run.data.watchdog
    assert tick
    stop = tick.stop

    def after_the_first_batch() -> None:
        stop()
        if unblocked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)

    tick.stop = after_the_first_batch  # type: ignore[method-assign]
    try:
        run.stop.listen()
        with sinking() as queues, pytest.raises(Stopped, match="SIGTERM"):
            go(run)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT])
    progress = checkpoint.load_for_resume(tmp_path / "run/last.ckpt")[1]
    assert (progress.epoch, progress.step) == (0, 1)
    assert [queue.asked for queue in queues] == [[*RUN_ON, "stop_send", "release"]]


@pytest.mark.parametrize("sink_steps", [1, STEPS])
def test_a_loss_that_is_not_finite_is_named_by_step_rate_and_videos(
    records: Path, tmp_path: Path, recipe: Recipe, sink_steps: int
) -> None:
    optimizer = replace(recipe.optimizer, name="sgd", weight_decay=0.0)
    schedule = replace(recipe.schedule, learning_rate=1e30, warmup_epochs=0)
    recipe = replace(recipe, optimizer=optimizer, schedule=schedule, sink_steps=sink_steps)
    run = make_run(tmp_path / "run", records, recipe)
    with sinking() as queues, pytest.raises(InputError) as raised:
        go(run)
    batch = [run.data.videos[video].name for video in epoch_indices(6, 2, recipe.seed, 0)[2:4, 1]]
    assert "the loss is nan at step 2 (epoch 1), learning rate 9.7e+29" in str(raised.value)
    assert str(raised.value).endswith(f"the batch: {', '.join(batch)}")
    assert queues[0].asked[-2:] == ["stop_send", "release"]
    parameters = checkpoint.load_for_resume(tmp_path / "run/last.ckpt")[2]
    assert all(np.isfinite(parameter.asnumpy()).all() for parameter in parameters.values())


@pytest.mark.parametrize(("waiting", "least", "greatest"), [(16, 0.0, 0.5), (0, 0.5, 1.0)])
def test_data_wait_is_the_time_of_fetching_when_the_queue_is_empty(
    records: Path,
    tmp_path: Path,
    recipe: Recipe,
    waiting: int,
    least: float,
    greatest: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    after_steps = trainer.Loop.after_steps
    with sinking() as queues:

        def filled(loop: trainer.Loop, arguments: Any) -> None:
            queues[-1].waiting = waiting
            queues[-1].fetched_s += 0.2
            time.sleep(0.2)
            after_steps(loop, arguments)

        monkeypatch.setattr(trainer.Loop, "after_steps", filled)
        go(make_run(tmp_path / "run", records, replace(recipe, epochs=2, sink_steps=STEPS)))

    waits = [json.loads(line)["data_wait"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert least <= waits[1] <= greatest


@pytest.mark.parametrize("waiting", [16, 0])
def test_the_profile_takes_its_step_from_the_queue_and_an_empty_one_means_waiting(
    records: Path, tmp_path: Path, recipe: Recipe, waiting: int
) -> None:
    data = make_run(tmp_path / "run", records, recipe).data
    step = new_step(Tiny(), recipe, 100)
    with sinking() as queues:
        profile_step.sunk(data, step, 1)  # compiled
        with mock.patch.object(type(queues[0]), "get_mbuf_queue_size", return_value=waiting):
            together, waited = profile_step.sunk(data, step, 4)
    assert queues[1].asked == ["send", *["continue_send"] * 5, "stop_send", "release"]
    assert 0 < together < 1
    assert waited == (0 if waiting else together)
