from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT, Run, error_line

from preprocess.annotations import read_catalog
from preprocess.annotations.find_videos import match
from preprocess.catalog import TEST, TRAIN
from scripts import make_shapes

COMMAND = "scripts/make_shapes.py"


@pytest.fixture(scope="module")
def scene() -> make_shapes.Scene:
    return make_shapes.make_scene(seed=5, group=2)


def test_the_files_are_as_ucf101s(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_shapes, "FRAMES", (4, 6))  # quicker to draw
    run(COMMAND, "--out", tmp_path / "s", "--clips", 1, "--groups", 21)
    assert (tmp_path / "s/split/classInd.txt").read_bytes().startswith(b"1 MoveDown\r\n2 MoveLeft\r\n")
    assert (tmp_path / "s/split/trainlist01.txt").read_bytes().startswith(b"MoveDown/v_MoveDown_g08_c01.avi 1\r\n")
    assert (tmp_path / "s/split/testlist01.txt").read_bytes().startswith(b"MoveDown/v_MoveDown_g01_c01.avi\r\n")
    with av.open(str(tmp_path / "s/video/TurnClockwise/v_TurnClockwise_g07_c01.avi")) as container:
        stream = container.streams.video[0]
        assert (container.format.name, stream.codec_context.name) == ("avi", "mpeg4")
        assert (stream.width, stream.height, stream.average_rate) == (320, 240, 25)
    catalog = read_catalog("ucf101", tmp_path / "s")
    matched = match(catalog, tmp_path / "s/video")
    assert (len(matched.found), matched.missing, matched.unlisted) == (168, (), ())
    for split in range(3):
        groups = {
            flag: {v.video_id.split("_")[2] for v in catalog.videos if v.flags[split] == flag} for flag in (TRAIN, TEST)
        }
        assert not groups[TRAIN] & groups[TEST]
        assert groups[TEST] == {f"g{7 * split + i:02d}" for i in range(1, 8)}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert "nothing to do" in run(COMMAND, "--out", tmp_path / "s", "--clips", 1, "--groups", 21).stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert "other settings" in error_line(run(COMMAND, "--out", tmp_path / "s", code=2))


def test_a_video_is_a_function_of_its_name_and_the_seed(scene: make_shapes.Scene) -> None:
    first, again, other = (np.stack(make_shapes.render(5, scene, "MoveLeft", 2, clip)[:4]) for clip in (1, 1, 2))
    assert (first == again).all()
    assert not (first == other).all()


@pytest.mark.parametrize(
    ("name", "opposite"),
    [
        ("MoveLeft", "MoveRight"),
        ("MoveUp", "MoveDown"),
        ("SizeGrow", "SizeShrink"),
        ("TurnClockwise", "TurnCounterClockwise"),
    ],
)
def test_opposite_classes_move_one_coordinate_at_the_same_rates_in_opposite_directions(name: str, opposite: str) -> None:
    one, other = make_shapes.MOTIONS[name], make_shapes.MOTIONS[opposite]
    assert (one[0], -one[1], *one[2:]) == other


@pytest.mark.slow
def test_no_single_frame_tells_the_classes_apart() -> None:
    """The mean picture of many first and last frames is the same for all classes, within its own noise."""
    mean: dict[str, list[np.ndarray]] = {}
    for group in range(30):
        scene = make_shapes.make_scene(0, group)
        plain = scene.background_HWC.astype(float)
        for name in make_shapes.MOTIONS:
            frames = make_shapes.render(0, scene, name, group, 1)
            for frame in (frames[0], frames[-1]):
                covered = np.abs(frame.astype(float) - plain).max(axis=2) > 20
                mean.setdefault(name, []).append(covered.reshape(4, 60, 4, 80).mean(axis=(1, 3)))
    means = {name: np.mean(maps, axis=0) for name, maps in mean.items()}
    error = np.std(list(mean.values()), axis=1).mean() / np.sqrt(60)
    overall = np.mean(list(means.values()), axis=0)
    for name, picture in means.items():
        assert np.abs(picture - overall).max() < 5 * error, name


def test_moving_right_moves_right(scene: make_shapes.Scene) -> None:
    blank = make_shapes.Scene(np.zeros_like(scene.background_HWC), scene.sprites)
    frames = make_shapes.render(5, blank, "MoveRight", 2, 1)
    shifts = []
    for before, after in pairwise(frames):
        candidates = range(-12, 13)
        costs = [np.abs(np.roll(before, s, axis=1).astype(int) - after).mean() for s in candidates]
        shifts.append(candidates[int(np.argmin(costs))])
    assert 5 < np.median(shifts) < 11


def test_too_few_groups_for_the_lists_are_refused(tmp_path: Path, run: Run) -> None:
    assert "the three test lists need 21 groups" in error_line(run(COMMAND, "--groups", 3, code=2))
    assert "--workers -1 is not 0 or more" in error_line(run(COMMAND, "--workers", -1, code=2))
    assert list(tmp_path.iterdir()) == []
    assert ROOT.is_dir()
