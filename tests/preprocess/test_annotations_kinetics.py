from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Run, make_video

from mindrecord import manifest
from preprocess.annotations import read_catalog
from preprocess.annotations.find_videos import match
from preprocess.catalog import TEST, TRAIN
from preprocess.common.errors import InputError

HEADER = "label,youtube_id,time_start,time_end,split\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Lists as published: classes out of order, an apostrophe, an id that begins with -, one that pandas takes for NaN."""
    (tmp_path / "video").mkdir()
    write(
        tmp_path / "split/train.csv",
        HEADER.replace("split", "split,is_cc") + "zumba,-0aB_cdefgh,7,17,train,0\n\nabseiling,NA,417,427,train,1\n",
    )
    write(
        tmp_path / "split/val.csv", "\ufeff" + HEADER.replace("\n", "\r\n") + '"massaging person\'s head",x,0,10.0,val\r\n'
    )
    return tmp_path


def test_kinetics_classes_are_sorted_and_clips_named_by_id_and_times(root: Path) -> None:
    catalog = read_catalog("kinetics400", root)
    assert catalog.class_names == ("abseiling", "massaging person's head", "zumba")
    assert [(v.label, v.video_id, v.path, v.flags, v.segment_s) for v in catalog.videos] == [
        (0, "NA_000417_000427", "abseiling/NA_000417_000427.mp4", (TRAIN,), None),
        (1, "x_000000_000010", "massaging person's head/x_000000_000010.mp4", (TEST,), None),
        (2, "-0aB_cdefgh_000007_000017", "zumba/-0aB_cdefgh_000007_000017.mp4", (TRAIN,), None),
    ]


@pytest.mark.parametrize("dataset", ["kinetics400", "kinetics600", "kinetics700"])
def test_each_kinetics_has_its_name_and_warns_of_another_number_of_classes(
    root: Path, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_catalog(dataset, root).dataset == dataset
    assert f"warning: these {dataset} lists have 3 classes, not {dataset[-3:]}" in capsys.readouterr().out


def test_validate_csv_of_kinetics_700_reads_as_val_csv(root: Path) -> None:
    expected = read_catalog("kinetics700", root)
    (root / "split/val.csv").rename(root / "split/validate.csv")
    assert read_catalog("kinetics700", root) == expected
    shutil.copy(root / "split/validate.csv", root / "split/val.csv")
    with pytest.raises(InputError, match=r"holds both val\.csv and validate\.csv"):
        read_catalog("kinetics700", root)


def test_one_kinetics_list_is_enough_and_the_other_is_said_to_be_absent(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "split/train.csv").unlink()
    assert [v.flags for v in read_catalog("kinetics400", root).videos] == [(TEST,)]
    assert "has no train.csv: there will be nothing to train on" in capsys.readouterr().out
    (root / "split/val.csv").unlink()
    with pytest.raises(InputError, match=r"has neither train\.csv nor val\.csv or validate\.csv"):
        read_catalog("kinetics400", root)


def test_repeated_kinetics_lines_count_once_and_are_counted_aloud(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "split/val.csv", HEADER + "a,x,1,11,val\na,x,1,11,val\nb,x,1,11,val\n")
    assert [v.name for v in read_catalog("kinetics400", root).videos if v.flags == (TEST,)] == [
        "a/x_000001_000011",
        "b/x_000001_000011",
    ]
    assert "val.csv: 1 lines repeat an earlier one and count once" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: no column label, youtube_id"),
        (HEADER, "is empty"),
        ("label,youtube_id,split\na,b,val\n", "line 1: no column time_start, time_end"),
        (HEADER + "a,x,1,11\n", "line 2: 4 values, not the 5 of label,youtube_id"),
        (HEADER + "a,x,1,11,val\n\na,y,one,11,val\n", "line 4: time 'one' should be a whole number of seconds"),
        (HEADER + "a,x,1,11.5,val\n", "line 2: time '11.5'"),
        (HEADER + ",x,1,11,val\n", "line 2: label and youtube_id should not be empty"),
        (HEADER + "a,x,1,11,train\n", "line 2: its column split says train: was the list renamed"),
        (HEADER + "abseiling,NA,417,427,val\n", "line 2: NA_000417_000427 of abseiling is in the train list too"),
        (HEADER + "open/close,x,1,11,val\n", "have the name 'open/close', which no folder of frames can have"),
    ],
)
def test_bad_kinetics_lists_are_refused_by_file_and_line(root: Path, text: str, says: str) -> None:
    write(root / "split/val.csv", text)
    with pytest.raises(InputError, match=says) as raised:
        read_catalog("kinetics400", root)
    assert "\n" not in str(raised.value)
    assert "val.csv" in str(raised.value) or "open/close" in says


def test_kinetics_lists_that_are_not_utf8_are_refused(root: Path) -> None:
    (root / "split/val.csv").write_bytes(HEADER.encode() + b"\xff\xfe,x,1,11,val\n")
    with pytest.raises(InputError, match=r"val\.csv is not a list of label,youtube_id"):
        read_catalog("kinetics400", root)


def test_kinetics_clips_are_found_in_the_layouts_of_its_releases(root: Path) -> None:
    for path in ("train/zumba/-0aB_cdefgh_000007_000017.mkv", "abseiling/NA.mp4", "val/elsewhere/x_000000_000010.mp4"):
        write(root / "video" / path, "")
    matched = match(read_catalog("kinetics400", root), root / "video")
    assert (len(matched.found), matched.missing, matched.unlisted) == (3, (), ())


@pytest.mark.slow
def test_kinetics_clips_that_are_gone_are_counted_and_the_others_extracted_or_packed(root: Path, run: Run) -> None:
    make_video(root / "video/train/abseiling/NA.mp4")
    options = ("--dataset", "kinetics700", "--root", root, "--allow-missing")
    said = run("preprocess/extract_frames.py", *options, "--out", root / "frames").stdout
    assert "1 ok + 0 failed + 2 missing" in said
    run("mindrecord/build.py", "--from-videos", *options, "--out", root / "records")
    packed = manifest.load(root / "records")
    assert sum(shard.videos for shard in packed.shards) == 1
    assert [absent.status for absent in packed.absent] == ["missing", "missing"]


def test_the_official_kinetics_400_validation_list_reads_whole(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "split").mkdir()
    shutil.copy(shared / "data/annotations/kinetics-400_val.csv", tmp_path / "split/val.csv")
    catalog = read_catalog("kinetics400", tmp_path)
    assert (len(catalog.videos), len(catalog.class_names)) == (19906, 400)
    assert catalog.videos[0].path == "abseiling/0wR5jVB-WPk_000417_000427.mp4"
