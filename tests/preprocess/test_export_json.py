from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Run, error_line

from preprocess import catalog as catalogs
from preprocess import ledger
from preprocess.annotations import read_catalog
from preprocess.annotations.kenshohara_json import to_value
from preprocess.catalog import TEST, TRAIN, UNUSED, Video
from preprocess.common.errors import InputError

COMMAND = "preprocess/export_json.py"


def test_exported_splits_read_back_with_the_same_labels_and_flags(frames: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "data/video").mkdir(parents=True)
    for split in (1, 2, 3):
        run(COMMAND, "--frames", frames, "--split", split, "--out", tmp_path / f"data/split/ucf_{split}.json")
    ours, _ = catalogs.load(frames)
    theirs = read_catalog("json", tmp_path / "data")
    assert (theirs.class_names, theirs.splits) == (ours.class_names, ours.splits)
    assert {v.name: (v.label, v.flags) for v in theirs.videos} == {v.name: (v.label, v.flags) for v in ours.videos}


def test_the_exported_json_is_what_the_field_exchanges(frames: Path, tmp_path: Path, run: Run) -> None:
    done = run(COMMAND, "--frames", frames, "--split", 1, "--out", tmp_path / "new/a.json")
    assert "8 videos of split 1 = 6 training + 2 validation + 0 failed or missing" in done.stdout
    value = json.loads((tmp_path / "new/a.json").read_text())
    assert value["labels"] == ["Alpha", "Beta"]
    assert len(value["database"]) == 8
    assert value["database"]["v_Beta_g01_c01"] == {
        "subset": "validation",
        "annotations": {"label": "Beta", "segment": [1, 22]},
    }
    assert len(list((frames / "Beta/v_Beta_g01_c01").iterdir())) == 21
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


def test_videos_that_were_not_extracted_are_left_out_and_counted(frames: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "f").mkdir()
    shutil.copy(frames / "catalog.json", tmp_path / "f")
    lines = (frames / "ledger.jsonl").read_text().splitlines(keepends=True)
    lines[0] = lines[0].replace('"ok"', '"failed"')
    (tmp_path / "f/ledger.jsonl").write_text("".join(lines))
    done = run(COMMAND, "--frames", tmp_path / "f", "--out", tmp_path / "a.json")
    assert "1 failed or missing, which are left out" in done.stdout
    assert len(json.loads((tmp_path / "a.json").read_text())["database"]) == 7
    lines = lines[1:]
    (tmp_path / "f/ledger.jsonl").write_text("".join(lines))
    done = run(COMMAND, "--frames", tmp_path / "f", "--out", tmp_path / "a.json", code=2)
    assert "is not finished, 1 of 8 videos are not in its ledger" in error_line(done)
    assert len(ledger.read(tmp_path / "f")) == 7


def test_a_wrong_split_folder_or_file_gets_one_line(frames: Path, tmp_path: Path, run: Run) -> None:
    done = run(COMMAND, "--frames", frames, "--split", "4", code=2)
    assert error_line(done) == f"error: --split 4 is not in {frames}: it has 1, 2, 3"
    done = run(COMMAND, "--frames", tmp_path, code=2)
    assert "is not a frames folder" in error_line(done)
    (tmp_path / "notes.txt").write_text("mine")
    done = run(COMMAND, "--frames", frames, "--out", tmp_path / "notes.txt", code=2)
    assert "notes.txt exists and is not an annotation JSON: choose another --out" in error_line(done)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    run(COMMAND, "--frames", frames, "--out", tmp_path / "a.json")
    run(COMMAND, "--frames", frames, "--split", 2, "--out", tmp_path / "a.json")  # one of its own it replaces


def test_videos_that_a_split_does_not_use_are_not_in_its_json() -> None:
    videos = [
        Video(class_name="Run", video_id=name, label=0, path="", flags=(flag,))
        for name, flag in (("a", TRAIN), ("b", UNUSED), ("c", TEST))
    ]
    value = to_value(["Run"], videos, 0, {"Run/a": 3, "Run/c": 4})
    assert {name: entry["subset"] for name, entry in value["database"].items()} == {"a": "training", "c": "validation"}


def test_two_videos_of_one_id_are_refused_rather_than_one_lost() -> None:
    videos = [
        Video(class_name="Run", video_id="1", label=0, path="", flags=(TRAIN,)),
        Video(class_name="Walk", video_id="1", label=1, path="", flags=(TRAIN,)),
    ]
    with pytest.raises(InputError, match="Run/1 and Walk/1 have one id"):
        to_value(["Run", "Walk"], videos, 0, {"Run/1": 3, "Walk/1": 3})
