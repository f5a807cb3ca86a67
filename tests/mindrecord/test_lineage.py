"""What one stage knows travels to the next: groups, splits and how they were drawn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Run, error_line, make_video

from mindrecord import build_records, manifest
from mindrecord.shard_reader import videos_of_split
from preprocess import extract_dataset
from preprocess.catalog import TEST, TRAIN
from preprocess.common import cli
from preprocess.common.errors import InputError
from train.config import load_recipe
from train.validation import held_out_videos

pytestmark = pytest.mark.usefixtures("workers_here")
HMDB51 = "{film}_wave_u_nm_np1_fr_med_{clip}"


def extract(*arguments: object) -> None:
    assert extract_dataset.main(cli.parse(extract_dataset.Options, [*map(str, arguments)])) == 0


def build(*arguments: object) -> None:
    assert build_records.main(build_records.parse([*map(str, arguments)])) == 0


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Own videos: two classes, of ten scenes of two clips each, which the classes share."""
    root = tmp_path_factory.mktemp("mine")
    for name in ("jump", "run"):
        for scene in range(10):
            make_video(root / f"video/{name}/scene{scene}_{name}1.avi", frames=3, seed=scene)
            make_video(root / f"video/{name}/scene{scene}_{name}2.avi", frames=3, seed=scene)
    return root


SPLITS = [
    ("--split-by", "group"),
    ("--split-seed", 1),
    ("--split-by", "group", "--group-pattern", "(scene[0-4]|scene[5-9]).*"),
]


@pytest.mark.parametrize("options", SPLITS, ids=str)
def test_frames_with_another_split_are_not_passed_for_the_packed_ones(
    mine: Path, tmp_path: Path, options: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--dataset", "folder", "--root", mine, "--out", tmp_path / "f")
    extract(*arguments)
    pack = ("--frames", tmp_path / "f", "--out", tmp_path / "r")
    build(*pack)
    before = (tmp_path / "r/manifest.json").read_bytes()
    extract(*arguments, *options)
    assert "had another split, drawn at random, clip by clip (seed 0); the frames are kept" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"holds another split, drawn at random, clip by clip \(seed 0\)"):
        build(*pack)
    assert (tmp_path / "r/manifest.json").read_bytes() == before
    build("--frames", tmp_path / "f", "--out", tmp_path / "new")
    assert manifest.load(tmp_path / "new").splits_sha256 != json.loads(before)["splits_sha256"]


@pytest.mark.parametrize("options", SPLITS, ids=str)
def test_videos_with_another_split_are_not_passed_for_the_packed_ones(
    mine: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    arguments = ("--from-videos", "--dataset", "folder", "--root", mine, "--out", tmp_path / "r")
    build(*arguments)
    with pytest.raises(InputError, match=r"holds another split, drawn at random, clip by clip \(seed 0\)"):
        build(*arguments, *options)


@pytest.mark.parametrize("from_videos", [False, True])
def test_a_corrected_list_is_not_passed_for_the_packed_one(ucf: Path, tmp_path: Path, from_videos: bool) -> None:
    root = tmp_path / "u"
    (root / "split").mkdir(parents=True)
    (root / "video").symlink_to(ucf / "video")
    for path in (ucf / "split").iterdir():
        shutil.copy(path, root / "split")

    def stages() -> None:
        if from_videos:
            build("--from-videos", "--root", root, "--out", tmp_path / "r")
        else:
            extract("--root", root, "--out", tmp_path / "f")
            build("--frames", tmp_path / "f", "--out", tmp_path / "r")

    stages()
    train, test = root / "split/trainlist02.txt", root / "split/testlist02.txt"
    moved = "Alpha/v_Alpha_g04_c01.avi"
    train.write_text("".join(line for line in train.read_text().splitlines(keepends=True) if moved not in line))
    test.write_text(test.read_text() + moved + "\n")
    with pytest.raises(InputError, match="holds another split, drawn by the data set's lists"):
        stages()


def test_after_a_split_by_group_no_group_is_on_both_sides_of_validation(mine: Path, tmp_path: Path, run: Run) -> None:
    extract("--dataset", "folder", "--root", mine, "--out", tmp_path / "f", "--split-by", "group")
    build("--frames", tmp_path / "f", "--out", tmp_path / "r")
    packed = manifest.load(tmp_path / "r")
    videos = {flag: videos_of_split(tmp_path / "r", packed, "1", flag) for flag in (TRAIN, TEST)}
    recipe = load_recipe(ROOT / "train/recipes/quick_cpu.yaml")
    for seed in range(5):
        names = held_out_videos(tmp_path / "r", packed, "1", replace(recipe, val_fraction=0.25, seed=seed))
        sides = [{video.group for video in videos[TRAIN] if (video.name in names) is held} for held in (True, False)]
        assert sides[0]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & {video.group for video in videos[TEST]}
    assert "no group is on both sides of a split" in run("mindrecord/verify.py", tmp_path / "r").stdout


def kinetics(root: Path) -> tuple[str, ...]:
    """A list in which one YouTube video trains and tests."""
    (root / "split").mkdir(parents=True)
    header = "label,youtube_id,time_start,time_end,split\n"
    (root / "split/train.csv").write_text(header + "wave,abcdefghijk,0,10,train\nwave,other_video,0,10,train\n")
    (root / "split/val.csv").write_text(header + "wave,abcdefghijk,50,60,val\nwave,third_video,0,10,val\n")
    for name in ("abcdefghijk_000000_000010", "other_video_000000_000010", "abcdefghijk_000050_000060", "third_video"):
        make_video(root / f"video/wave/{name}.avi", frames=3)
    return ("--dataset", "kinetics400")


def hmdb51(root: Path) -> tuple[str, ...]:
    """Lists in which one film trains and tests, in another class."""
    (root / "split").mkdir(parents=True)
    names = {"wave": ("My_Film", "Other"), "kick": ("My_Film", "Third")}
    for class_name, films in names.items():
        lines = ""
        for film, flag in zip(films, (1, 2) if class_name == "wave" else (2, 1), strict=True):
            name = HMDB51.format(film=film, clip=0).replace("wave", class_name)
            lines += f"{name}.avi {flag} \n"
            make_video(root / f"video/{class_name}/{name}.avi", frames=3)
        for split in (1, 2, 3):
            (root / f"split/{class_name}_test_split{split}.txt").write_text(lines)
    return ("--dataset", "hmdb51")


def folder(root: Path) -> tuple[str, ...]:
    """Own videos, split at random after the groups were recorded: planted in the catalog below."""
    for scene in range(5):
        for clip in (1, 2):
            make_video(root / f"video/wave/scene{scene}_{clip}.avi", frames=3, seed=scene)
    return ("--dataset", "folder", "--split-by", "group")


@pytest.mark.parametrize(("make", "group"), [(kinetics, "abcdefghijk"), (hmdb51, "my_film"), (folder, "scene")])
def test_verify_finds_a_group_that_is_planted_on_both_sides(
    make: Callable[[Path], tuple[str, ...]], group: str, tmp_path: Path, run: Run
) -> None:
    options = make(tmp_path / "d")
    extract(*options, "--root", tmp_path / "d", "--out", tmp_path / "f")
    if make is folder:
        value = json.loads((tmp_path / "f/catalog.json").read_text())
        next(video for video in value["videos"] if video["flags"] == [TRAIN])["flags"] = [TEST]
        (tmp_path / "f/catalog.json").write_text(json.dumps(value))
    build("--frames", tmp_path / "f", "--out", tmp_path / "r")
    done = run("mindrecord/verify.py", tmp_path / "r", code=2)
    found = [line for line in done.stdout.splitlines() if "both of group" in line]
    assert found
    assert all(f"both of group {group}" in line for line in found)
    assert "problems in" in error_line(done)


def test_how_a_split_was_drawn_is_in_the_manifest(mine: Path, tmp_path: Path) -> None:
    extract("--dataset", "folder", "--root", mine, "--out", tmp_path / "f", "--split-by", "group", "--seed", 4)
    build("--frames", tmp_path / "f", "--out", tmp_path / "r")
    packed = manifest.load(tmp_path / "r")
    assert str(packed.split_source) == "by group (seed 4, pattern (.+)_[^_]*)"
    assert len(packed.splits_sha256) == 64
