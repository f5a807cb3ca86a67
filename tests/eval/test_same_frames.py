"""A video's file and its records get the same scores, whatever shaped the records' frames."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Run, listed_for_testing, make_ucf
from eval_data import CLIP, pack, save_random

from eval import evaluate, predict, video_windows
from mindrecord import manifest
from preprocess.common import cli
from preprocess.frame_settings import FrameSettings
from train import checkpoint, devices, evaluation_windows
from train.config import load_recipe
from train.validation import held_out_videos

pytestmark = pytest.mark.usefixtures("workers_here")
CLASSES = ("Alpha", "Beta")
SCHEMA_2 = ROOT / "tests/data/schema2.tar.xz"
"""Frames, records, run and report of commit 28e04f2, before catalogs and checkpoints recorded what later stages need."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 320x240 videos, of three groups in each class: larger than the records that are made of it."""
    root = tmp_path_factory.mktemp("large") / "ucf"
    make_ucf(root, CLASSES, groups=3, frames=48, size=(320, 240))
    return root


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commit 28e04f2 wrote."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(SCHEMA_2) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run_main(command: Any, *arguments: object) -> None:
    devices.use("CPU", 0)
    assert command.main(cli.parse(command.Options, [*map(str, arguments)])) == 0


def scores(path: Path) -> dict[str, dict[str, float]]:
    """Video id -> class -> score, of predictions in JSON."""
    results = json.loads(path.read_text())["results"]
    return {video: {one["label"]: one["score"] for one in best} for video, best in results.items()}


def largest_difference(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> float:
    """Over the videos and classes of `one`."""
    return max(abs(score - other[video][label]) for video, classes in one.items() for label, score in classes.items())


def saved(path: Path, frame_settings: FrameSettings | None) -> Path:
    """A network with random weights whose checkpoint says that it was trained on such frames, or does not say."""
    clip = replace(CLIP, size=48)
    save_random(path, CLASSES, clip)
    meta, network = checkpoint.restore(path)
    checkpoint.take_snapshot(network, replace(meta, frame_settings=frame_settings)).write(path)
    return path


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--short-side", "128"), marks=pytest.mark.slow),
        pytest.param(("--fps", "12.5"), marks=pytest.mark.slow),
        pytest.param(("--max-frames", "40"), marks=pytest.mark.slow),
        pytest.param(("--quality", "60"), marks=pytest.mark.slow),
        ("--short-side", "128", "--fps", "12.5", "--max-frames", "20", "--quality", "60"),
    ],
    ids=" ".join,
)
def test_predict_gives_the_scores_of_evaluate_on_frames_of_any_settings(
    large: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    records = pack(large, tmp_path, *options)
    settings = manifest.load(records).frame_settings
    path = saved(tmp_path / "last.ckpt", settings)
    run_main(evaluate, "--records", records, "--checkpoint", path)
    run_main(predict, large / "video", "--checkpoint", path, "--json", tmp_path / "p.json")
    evaluated, predicted = scores(tmp_path / "report/predictions.json"), scores(tmp_path / "p.json")
    assert len(evaluated) == 2
    assert largest_difference(evaluated, predicted) < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        ("--short-side", "128"),
        ("--fps", "12.5"),
        ("--max-frames", "40"),
        ("--quality", "60"),
        ("--short-side", "64", "--fps", "8", "--max-frames", "12", "--quality", "40", "--backend", "ffmpeg"),
    ],
    ids=" ".join,
)
def test_a_file_gives_the_windows_of_its_records_to_the_last_bit(
    large: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    records = pack(large, tmp_path, *options)
    settings = manifest.load(records).frame_settings
    clip = replace(CLIP, size=48)
    for video, packed_WTHWC in evaluation_windows.whole_videos(listed_for_testing(records, "1"), clip):
        path = large / f"video/{video.name}.avi"
        ours, defaults = (list(video_windows.jpegs_of(path, one)) for one in (settings, FrameSettings()))
        assert ours != defaults  # else this test could not fail
        assert np.array_equal(np.stack(list(video_windows.windows_of(ours, clip))), packed_WTHWC)


def test_an_old_checkpoint_predicts_as_before_and_one_line_says_what_is_assumed(old: Path, run: Run, tmp_path: Path) -> None:
    options = ("--checkpoint", old / "run/best.ckpt", "--json", tmp_path / "p.json")
    done = run("eval/predict.py", old / "ucf/video", *options)
    (line,) = [line for line in done.stdout.splitlines() if "assuming" in line]
    assert "best.ckpt does not say how its frames were made" in line
    assert "short side 240, quality 90, all frames" in line
    assert largest_difference(scores(old / "report/predicted.json"), scores(tmp_path / "p.json")) < 1e-6


def test_an_old_checkpoint_and_pack_evaluate_as_before(old: Path, run: Run) -> None:
    out = old / "new_report"
    done = run(
        "eval/evaluate.py",
        "--records",
        old / "records",
        "--checkpoint",
        old / "run/best.ckpt",
        "--out",
        out,
        "--verify",
        "full",
    )
    assert "in a way that is not recorded" in done.stdout
    assert largest_difference(scores(old / "report/predictions.json"), scores(out / "predictions.json")) < 1e-6
    before, after = (json.loads((folder / "results.json").read_text()) for folder in (old / "report", out))
    assert np.array_equal(before["confusion"], after["confusion"])


def test_evaluating_on_frames_of_other_settings_says_so(
    large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = pack(large, tmp_path, "--fps", 12.5)
    path = saved(tmp_path / "last.ckpt", FrameSettings(short_side=128))
    run_main(evaluate, "--records", records, "--checkpoint", path)
    assert "was trained on frames of short_side 128, not 240 as in" in capsys.readouterr().out


def test_old_records_hold_out_the_videos_that_they_held_out(old: Path) -> None:
    recipe = load_recipe(old / "run/config.yaml")
    names = held_out_videos(old / "records", manifest.load(old / "records"), "1", recipe)
    assert names == {"Alpha/v_Alpha_g02_c01", "Beta/v_Beta_g03_c01"}  # as its commit did
