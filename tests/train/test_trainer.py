from __future__ import annotations

import errno
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from tiny_run import EPOCHS, FixedValidator, go, make_run, metrics, tiny_recipe

from mindrecord import manifest
from mindrecord.shard_reader import videos_of_split
from preprocess.catalog import TRAIN
from preprocess.common.errors import InputError
from train import checkpoint, trainer, validation
from train.checkpoint_writer import CheckpointWriter, Job
from train.config import Recipe
from train.plot_curves import draw_curves
from train.run_folder import METRICS
from train.signals import Stopped
from train.training_data import TrainingData, epoch_indices, training_videos
from train.validation import Validator


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return tiny_recipe()


def test_checkpoints_are_kept_every_so_many_epochs_the_newest_of_them(records: Path, tmp_path: Path, recipe: Recipe) -> None:
    go(make_run(tmp_path / "run", records, replace(recipe, keep_every_epochs=1, keep_most=2)))
    kept = sorted((tmp_path / "run").glob("epoch_*.ckpt"))
    assert [path.name for path in kept] == ["epoch_0002.ckpt", "epoch_0003.ckpt"]
    assert [checkpoint.load(path)[0].epoch for path in kept] == [2, 3]


def test_a_run_goes_on_from_any_save_as_if_nothing_had_been(
    records: Path, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves: list[Path] = []
    write = checkpoint.Snapshot.write

    def kept(snapshot: checkpoint.Snapshot, path: Path) -> None:
        write(snapshot, path)
        if path.name == "last.ckpt":
            saves.append(shutil.copytree(path.parent, tmp_path / f"save{len(saves):02d}"))

    def at_once(writer: CheckpointWriter, jobs: dict[str, Job]) -> None:
        for job in jobs.values():
            job()

    monkeypatch.setattr(CheckpointWriter, "start", at_once)
    monkeypatch.setattr(checkpoint.Snapshot, "write", kept)
    accuracies = [0.5, 0.25, 0.75]
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, ema_decay=0.9, accumulate=2), mixup=0.2)
    expected = go(make_run(tmp_path / "run", records, recipe, FixedValidator(accuracies)))
    monkeypatch.undo()
    # the beginning, and each epoch's three steps, the last of them before and after validation: 2 is within one, 7 before
    assert len(saves) == 1 + EPOCHS * 4
    for number in (2, 7):
        folder = saves[number]
        done = checkpoint.load_for_resume(folder / "last.ckpt")[1]
        with (folder / METRICS).open("a") as stream_:
            stream_.write('{"epoch": 9, "loss": 1')  # a later line, cut off by a kill
        found = go(make_run(folder, records, recipe, FixedValidator(accuracies[done.epoch :])), folder / "last.ckpt")
        assert found.keys() == expected.keys()
        assert [name for name in found if (found[name] != expected[name]).any()] == []
        assert metrics(folder) == metrics(tmp_path / "run")
        meta, best, _ = checkpoint.read(folder / "best.ckpt")
        assert (meta.epoch, meta.chosen_on, meta.accuracy) == (3, "held_out", 0.75)
        assert best is not None
        assert best.recipe == recipe


def test_the_best_checkpoint_is_the_first_of_the_best_and_the_last_epoch_is_always_validated(
    records: Path, tmp_path: Path, recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(recipe, validate_every=2, choose_best_on="test", save_every_minutes=10.0)
    go(make_run(tmp_path / "run", records, recipe, FixedValidator([0.5, 0.5])))
    lines = metrics(tmp_path / "run")
    assert [line.get("validation_accuracy") for line in lines] == [None, 0.5, 0.5]
    assert [line.get("validated_on") for line in lines] == [None, "test", "test"]
    meta = checkpoint.read(tmp_path / "run/best.ckpt")[0]
    assert (meta.epoch, meta.chosen_on, meta.accuracy) == (2, "test", 0.5)
    said = capsys.readouterr().out
    assert "accuracy on the TEST LIST 50.0% of 4 videos (best)" in said
    draw_curves(tmp_path / "run")
    assert "THE TEST LIST" in (tmp_path / "run/curves.svg").read_text()  # matplotlib writes texts as comments


@pytest.mark.parametrize("validation", [False, True])
def test_a_signal_stops_after_the_step_saved_and_in_validation_before_its_figure(
    records: Path, tmp_path: Path, recipe: Recipe, validation: bool
) -> None:
    recipe = replace(recipe, save_every_minutes=10.0)
    run = make_run(tmp_path / "run", records, recipe)

    def arrive(_: int) -> None:
        run.stop.number = 15

    if validation:
        run = replace(run, validator=FixedValidator([0.5], when=arrive))  # type: ignore[arg-type]
    else:
        arrive(0)
    with pytest.raises(Stopped, match="SIGTERM"):
        go(run)
    meta, progress, _ = checkpoint.load_for_resume(tmp_path / "run/last.ckpt")
    assert (progress.epoch, progress.step) == (0, 3 if validation else 1)
    assert meta.epoch == (1 if validation else 0)
    assert metrics(tmp_path / "run") == []


def test_a_loss_that_is_not_finite_names_step_rate_and_videos_and_leaves_the_last_finite_checkpoint(
    records: Path, tmp_path: Path, recipe: Recipe
) -> None:
    optimizer = replace(recipe.optimizer, name="sgd", weight_decay=0.0)
    schedule = replace(recipe.schedule, learning_rate=1e30, warmup_epochs=0)
    recipe = replace(recipe, optimizer=optimizer, schedule=schedule)
    run = make_run(tmp_path / "run", records, recipe)
    with pytest.raises(InputError) as raised:
        go(run)
    said = str(raised.value)
    assert "the loss is nan at step 2 (epoch 1), learning rate 9.7e+29" in said
    batch = epoch_indices(6, 2, recipe.seed, 0)[2:4, 1]
    assert said.endswith(f"the batch: {run.data.videos[batch[0]].name}, {run.data.videos[batch[1]].name}")
    _, _, parameters = checkpoint.load_for_resume(tmp_path / "run/last.ckpt")
    assert all(np.isfinite(parameter.asnumpy()).all() for parameter in parameters.values())


def test_what_is_held_out_is_not_trained_on_and_too_small_a_share_is_refused(records: Path, recipe: Recipe) -> None:
    packed = manifest.load(records)
    names = validation.held_out_videos(records, packed, "1", replace(recipe, val_fraction=0.34))
    videos = validation.validation_videos(records, packed, "1", recipe, names)
    assert sorted(video.label for video in videos) == [0, 1]
    trained = training_videos(records, packed, "1", 2, names)
    assert len(trained) == 4
    assert not names & {video.name for video in trained}
    data = TrainingData(videos=trained, clip=recipe.clip, batch_size=2, seed=1)
    assert data.batches().get_dataset_size() == data.steps_per_epoch == 2
    with pytest.raises(InputError, match=r"val_fraction 0\.1 of the 6 training videos of split 1 is less than any group"):
        validation.held_out_videos(records, packed, "1", replace(recipe, val_fraction=0.1))
    tested = validation.validation_videos(records, packed, "1", replace(recipe, choose_best_on="test"), frozenset())
    assert sorted(video.video_id for video in tested) == ["v_Alpha_g01_c01", "v_Beta_g01_c01"]


def test_the_validator_scores_the_weights_it_is_given(records: Path, recipe: Recipe) -> None:
    packed = manifest.load(records)
    videos = videos_of_split(records, packed, "1", TRAIN)
    data = TrainingData(videos=videos, clip=recipe.clip, batch_size=2, seed=1)
    validator = Validator(replace(recipe, model=replace(recipe.model, widen_factor=0.0625)), 2, videos, data)
    network = trainer.new_network(validator.recipe, 2)
    for label in (0, 1):
        network.fc.weight.set_data(ms.Tensor(np.zeros(network.fc.weight.shape, np.float32)))
        network.fc.bias.set_data(ms.Tensor(np.eye(2, dtype=np.float32)[label]))
        assert validator.accuracy(validation.weights_of(network, None), lambda: None) == 0.5


def test_the_file_holds_what_was_when_it_was_due_however_late_it_is_written(
    records: Path, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write waits until two further steps are done, or half a second has passed."""
    seen: list[tuple[int, int]] = []
    steps = 0
    after_steps, write = trainer.Loop.after_steps, checkpoint.Snapshot.write

    def counted(loop: trainer.Loop, arguments: Any) -> None:
        nonlocal steps
        after_steps(loop, arguments)
        steps += 1

    def late(snapshot: checkpoint.Snapshot, path: Path) -> None:
        until, ends = steps + 2, time.monotonic() + 0.5
        while steps < until and time.monotonic() < ends:
            time.sleep(0.001)
        write(snapshot, path)
        _, progress, parameters = checkpoint.load_for_resume(path)
        done = progress.epoch * 3 + progress.step
        seen.append((done, int(parameters["state:step"].asnumpy())))

    monkeypatch.setattr(trainer.Loop, "after_steps", counted)
    monkeypatch.setattr(checkpoint.Snapshot, "write", late)
    monkeypatch.setattr(trainer.Loop, "due", lambda loop: loop.progress.step == 1)
    go(make_run(tmp_path / "run", records, recipe))
    assert seen == [(done, done) for done in (0, 1, 4, 7, 9)]


def test_a_full_disk_in_the_thread_ends_the_run_with_one_line_and_keeps_what_the_file_held(
    records: Path, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = make_run(tmp_path / "run", records, recipe)
    monkeypatch.setattr(trainer.Loop, "due", lambda loop: loop.progress.step == 2)
    write = trainer.Loop.write

    def later_full(loop: trainer.Loop, *arguments: Any) -> None:
        write(loop, *arguments)
        if loop.progress.step == 2:
            loop.start_writing()
            loop.writer.pool.submit(lambda: None).result()
            monkeypatch.setattr(ms, "save_checkpoint", full)

    monkeypatch.setattr(trainer.Loop, "write", later_full)
    with pytest.raises(InputError, match=r"last\.ckpt: No space left on device: what it held before is kept; make room and"):
        go(run)
    progress = checkpoint.load_for_resume(tmp_path / "run/last.ckpt")[1]
    assert (progress.epoch, progress.step) == (0, 2)


@pytest.mark.parametrize(("windows", "every"), [(1, 1), (2, 2), (90, 50)])  # an epoch trains on six clips
def test_validation_is_so_rare_that_it_takes_a_tenth_of_the_training(
    records: Path, tmp_path: Path, recipe: Recipe, windows: int, every: int
) -> None:
    validator = FixedValidator([])
    validator.windows = windows
    assert trainer.rare_enough(make_run(tmp_path / "run", records, recipe, validator)) == every
