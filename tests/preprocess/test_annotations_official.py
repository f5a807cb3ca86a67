from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run, error_line, make_video

from preprocess import catalog as catalogs
from preprocess.annotations import read_catalog
from preprocess.annotations.official_counts import warning
from preprocess.catalog import Catalog


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_the_official_lists_give_no_warning(shared: Path, dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    read_catalog(dataset, shared / f"data/{dataset}-mini")
    assert capsys.readouterr().out == ""


def without(catalog: Catalog, position: int) -> Catalog:
    videos = catalog.videos[:position] + catalog.videos[position + 1 :]
    return replace(catalog, videos=videos)


def test_ucf101_lists_of_all_classes_that_lack_a_video_are_said_to(shared: Path) -> None:
    catalog = without(read_catalog("ucf101", shared / "data/ucf101-mini"), 0)
    assert catalog.videos[0].flags == (2, 1, 1)
    assert warning(catalog) == (
        "warning: these ucf101 lists are not the official ones: 13319 videos (officially 13320), "
        "split 1 has 9537 train and 3782 test (officially 9537 and 3783), "
        "split 2 has 9585 train and 3734 test (officially 9586 and 3734), "
        "split 3 has 9623 train and 3696 test (officially 9624 and 3696)"
    )


def test_hmdb51_lists_of_all_classes_that_lack_a_video_are_said_to(shared: Path) -> None:
    catalog = read_catalog("hmdb51", shared / "data/hmdb51-mini")
    position = next(i for i, video in enumerate(catalog.videos) if 0 not in video.flags)
    said = warning(without(catalog, position))
    assert "6765 videos (officially 6766)" in said
    assert "split 3 has 1 classes without 70 train and 30 test" in said
    assert "\n" not in said


def test_a_subset_of_the_classes_is_nobodys_mistake(ucf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_catalog("ucf101", ucf)
    assert capsys.readouterr().out == ""


def test_the_release_of_hmdb51_is_recorded_and_not_mixed(tmp_path: Path, run: Run) -> None:
    for split in (1, 2, 3):
        path = tmp_path / f"data/split/wave_test_split{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a.avi 1 \nb.avi 2 \n")
    for name in "ab":
        make_video(tmp_path / f"data/video/wave/{name}.avi", frames=4)
    arguments = ("--dataset", "hmdb51", "--root", tmp_path / "data", "--out", tmp_path / "f")
    run("preprocess/extract_frames.py", *arguments, "--hmdb51-release", "stabilised")
    listed, _ = catalogs.load(tmp_path / "f")
    assert listed.release == "stabilised"
    done = run("preprocess/extract_frames.py", *arguments, code=2)
    assert "holds frames of hmdb51 stabilised with 1 classes, not of hmdb51 original with these 1" in error_line(done)
