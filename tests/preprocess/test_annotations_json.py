from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preprocess.annotations import read_catalog
from preprocess.annotations.find_videos import match
from preprocess.catalog import TEST, TRAIN, UNUSED
from preprocess.common.errors import InputError


def entry(subset: str, label: str | None = None, first: int = 1) -> dict[str, Any]:
    return {"subset": subset, "annotations": {} if label is None else {"label": label, "segment": [first, 31]}}


def write(root: Path, name: str, database: object, labels: object = ("Run", "Jump")) -> None:
    (root / "video").mkdir(exist_ok=True)
    (root / "split").mkdir(exist_ok=True)
    (root / "split" / name).write_text(json.dumps({"labels": labels, "database": database}), encoding="utf-8")


def test_each_json_is_a_split_in_the_order_of_names_with_labels_as_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "b.json", {"x": entry("validation", "Jump"), "z": entry("training", "Run"), "t": entry("testing")})
    write(tmp_path, "a.json", {"x": entry("training", "Jump"), "z": entry("testing"), "y": entry("validation", "Run")})
    catalog = read_catalog("json", tmp_path)
    assert (catalog.class_names, catalog.splits) == (("Run", "Jump"), ("1", "2"))
    assert [(v.name, v.label, v.path, v.flags) for v in catalog.videos] == [
        ("Run/y", 0, "Run/y.mp4", (TEST, UNUSED)),
        ("Run/z", 0, "Run/z.mp4", (UNUSED, TRAIN)),
        ("Jump/x", 1, "Jump/x.mp4", (TRAIN, TEST)),
    ]
    assert "1 videos of the testing subset have no label and are left out" in capsys.readouterr().out


def test_videos_of_the_json_are_found_with_any_suffix_in_their_labels_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.json", {"x.y": entry("training", "Jump"), "z": entry("training", "Run")})
    for path in ("Jump/x.y.webm", "Jump/z.mp4"):
        (tmp_path / "video" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "video" / path).touch()
    matched = match(read_catalog("json", tmp_path), tmp_path / "video")
    assert list(matched.found.values()) == ["Jump/x.y.webm"]
    assert [v.name for v in matched.missing] == ["Run/z"]
    assert matched.unlisted == ("Jump/z.mp4",)


@pytest.mark.parametrize(
    ("database", "says"),
    [
        ({"x": entry("train", "Run")}, "x: subset 'train' should be training, validation or testing"),
        ({"x": entry("training")}, "x: no label"),
        ({"x": entry("training", "Swim")}, "x: label 'Swim' is not among the labels"),
        ({"x": entry("training", "Run", first=7)}, r"x: segment \[7, 31\] should be \[1, frames \+ 1\]"),
        ({"x": {"subset": "training", "annotations": []}}, "see --dataset activitynet"),
        ({"y": entry("training", "Jump")}, r"b\.json, y: labelled Jump, in an earlier file Run"),
        ([], 'should be {"labels"'),
    ],
)
def test_bad_json_entries_are_refused_by_file_and_name(tmp_path: Path, database: object, says: str) -> None:
    write(tmp_path, "a.json", {"y": entry("training", "Run")})
    write(tmp_path, "b.json", database)
    with pytest.raises(InputError, match=says) as raised:
        read_catalog("json", tmp_path)
    assert "b.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_splits_with_other_labels_or_a_label_twice_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.json", {"y": entry("training", "Run")})
    write(tmp_path, "b.json", {"y": entry("training", "Run")}, labels=["Jump", "Run"])
    with pytest.raises(InputError, match=r"b\.json has other labels than a\.json, or another order"):
        read_catalog("json", tmp_path)
    write(tmp_path, "a.json", {}, labels=["Run", "Run"])
    with pytest.raises(InputError, match=r"a\.json has a label twice"):
        read_catalog("json", tmp_path)


def test_without_a_json_or_with_a_broken_one_the_reader_says_so(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    with pytest.raises(InputError, match=r"split has no \.json file"):
        read_catalog("json", tmp_path)
    (tmp_path / "split").mkdir()
    (tmp_path / "split/a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json is not a JSON file"):
        read_catalog("json", tmp_path)
