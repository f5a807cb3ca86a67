from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run, make_video

from preprocess import ledger
from preprocess.annotations import read_catalog
from preprocess.annotations.find_videos import match
from preprocess.catalog import TEST, TRAIN
from preprocess.common.errors import InputError


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def write_moments(root: Path) -> None:
    (root / "video").mkdir(parents=True)
    write(root / "split/moments_categories.txt", "yawning,1\r\nadult+female+singing,0\r\nwaxing,2\r\n")
    write(root / "split/trainingSet.csv", "yawning/yt-a_1.mp4,yawning,3,0\nwaxing/yt-a_1.mp4,waxing,4,1\n")
    write(root / "split/validationSet.csv", "adult+female+singing/b.mp4,adult+female+singing,3,0\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_moments(tmp_path)
    return tmp_path


def test_moments_labels_are_the_numbers_of_its_categories(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = read_catalog("moments", root)
    assert catalog.class_names == ("adult+female+singing", "yawning", "waxing")
    assert [(v.name, v.label, v.path, v.flags) for v in catalog.videos] == [
        ("adult+female+singing/b", 0, "validation/adult+female+singing/b.mp4", (TEST,)),
        ("yawning/yt-a_1", 1, "training/yawning/yt-a_1.mp4", (TRAIN,)),
        ("waxing/yt-a_1", 2, "training/waxing/yt-a_1.mp4", (TRAIN,)),
    ]
    assert "moments lists have 3 classes, not 339" in capsys.readouterr().out


def test_moments_of_one_name_in_two_classes_stay_apart_on_disk(root: Path) -> None:
    for path in ("waxing/yt-a_1.mp4", "validation/adult+female+singing/b.mp4"):
        write(root / "video" / path, "")
    matched = match(read_catalog("moments", root), root / "video")
    assert {v.name: path for v, path in matched.found.items()} == {
        "adult+female+singing/b": "validation/adult+female+singing/b.mp4",
        "waxing/yt-a_1": "waxing/yt-a_1.mp4",
    }
    assert [v.name for v in matched.missing] == ["yawning/yt-a_1"]


def test_repeated_moments_lines_count_once_and_are_counted_aloud(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "split/trainingSet.csv", "yawning/a.mp4,yawning,3,0\nyawning/a.mp4,yawning,5,1\n")
    assert len(read_catalog("moments", root).videos) == 2
    assert "trainingSet.csv: 1 lines repeat an earlier one and count once" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("trainingSet.csv", "a.mp4,yawning,3,0\n", "line 1: 'a.mp4' is not class/file.mp4"),
        ("trainingSet.csv", "yawning/a.mp4,Yawning,3,0\n", "line 1: class 'Yawning' is not in moments_categories.txt"),
        ("trainingSet.csv", "yawning/a.mp4,yawning\n", "line 1: 2 values, not the 4 of file,class"),
        ("trainingSet.csv", "waxing/b.mp4,adult+female+singing,1,0\n", "two videos would share the frames folder"),
        ("moments_categories.txt", "yawning,1\nwaxing,2\n", "line 2: should be name,index with an index from 0 to 1"),
        ("moments_categories.txt", "yawning,0\nwaxing,0\n", "line 2: waxing,0: this name or index is on an earlier line"),
    ],
)
def test_bad_moments_lists_are_refused_by_file_and_line(root: Path, file: str, text: str, says: str) -> None:
    write(root / "split" / file, text)
    with pytest.raises(InputError, match=says) as raised:
        read_catalog("moments", root)
    assert file in str(raised.value) or "share" in says


def test_an_absent_moments_list_is_named(root: Path) -> None:
    (root / "split/validationSet.csv").unlink()
    with pytest.raises(InputError, match=r"validationSet\.csv is missing"):
        read_catalog("moments", root)


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    write_moments(tmp_path / "moments")
    (tmp_path / "kinetics700/video").mkdir(parents=True)
    header = "label,youtube_id,time_start,time_end,split\n"
    write(tmp_path / "kinetics700/split/train.csv", header + "zumba,z,1,11,train\nyawning,y,2,12,train\n")
    write(tmp_path / "kinetics700/split/validate.csv", header + "zumba,w,1,11,validate\n")
    return tmp_path


def test_in_the_merged_set_kinetics_comes_first_and_shared_names_stay_apart(merged: Path) -> None:
    catalog = read_catalog("kinetics700_moments", merged)
    assert catalog.class_names == ("yawning", "zumba", "adult+female+singing", "yawning (Moments)", "waxing")
    assert [(v.label, v.class_name) for v in catalog.videos] == [
        (label, catalog.class_names[label]) for label in (0, 1, 1, 2, 3, 4)
    ]
    assert catalog.videos[0].path == "kinetics700/video/yawning/y_000002_000012.mp4"
    assert catalog.videos[4].path == "moments/video/training/yawning/yt-a_1.mp4"


def test_the_merged_set_says_which_part_is_absent(merged: Path) -> None:
    (merged / "moments/video").rename(merged / "moments/videos")
    with pytest.raises(InputError, match="moments has no folder video/"):
        read_catalog("kinetics700_moments", merged)


def test_the_merged_set_extracts_from_both_its_folders(merged: Path, run: Run) -> None:
    make_video(merged / "kinetics700/video/train/yawning/y.mp4", frames=5)
    make_video(merged / "moments/video/training/yawning/yt-a_1.mp4", frames=6)
    make_video(merged / "moments/video/training/yawning/stranger.mp4", frames=6)
    arguments = ("--dataset", "kinetics700_moments", "--root", merged, "--out", merged / "f", "--allow-missing")
    done = run("preprocess/extract_frames.py", *arguments)
    assert "6 listed videos = 2 ok + 0 failed + 4 missing" in done.stdout
    assert "moments/video/training/yawning/stranger.mp4" in done.stdout
    entries = ledger.read(merged / "f")
    assert entries["yawning/y_000002_000012"].path == "kinetics700/video/train/yawning/y.mp4"
    assert entries["yawning (Moments)/yt-a_1"].stored_frames == 6
