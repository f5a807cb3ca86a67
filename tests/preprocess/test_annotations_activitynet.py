from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, make_video

from preprocess import catalog as catalogs
from preprocess import ledger
from preprocess.annotations import read_catalog
from preprocess.annotations.find_videos import match
from preprocess.catalog import TEST, TRAIN
from preprocess.common.errors import InputError
from preprocess.frame_settings import FrameSettings

DATABASE: dict[str, Any] = {
    "v_bcdefghij": {
        "duration": 20.0,
        "subset": "validation",
        "annotations": [{"label": "Zumba", "segment": [1.5, 4]}, {"label": "Archery", "segment": [5, 999.0]}],
    },
    "---9CpRcKoU": {
        "duration": 9.0,
        "subset": "training",
        "annotations": [{"label": "Archery", "segment": [0, 0]}, {"label": "Archery", "segment": [-0.01, 3]}],
    },
    "unlabelled1": {"duration": 9.0, "subset": "testing", "annotations": []},
}


def write(root: Path, value: object) -> None:
    (root / "video").mkdir(exist_ok=True)
    (root / "split").mkdir(exist_ok=True)
    (root / "split/activity_net.v1-3.min.json").write_text(json.dumps(value), encoding="utf-8")


def official(database: object) -> dict[str, object]:
    return {"version": "VERSION 1.3", "taxonomy": [], "database": database}


def test_every_segment_is_a_sample_and_labels_are_numbered_as_first_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, official(DATABASE))
    catalog = read_catalog("activitynet", tmp_path)
    assert catalog.class_names == ("Zumba", "Archery")
    assert [(v.video_id, v.label, v.path, v.flags, v.segment_s) for v in catalog.videos] == [
        ("v_bcdefghij_1", 0, "v_v_bcdefghij.mp4", (TEST,), (1.5, 4.0)),
        ("v_bcdefghij_2", 1, "v_v_bcdefghij.mp4", (TEST,), (5.0, 999.0)),  # past the end: for extraction to say
        ("---9CpRcKoU_1", 1, "v_---9CpRcKoU.mp4", (TRAIN,), (0.0, 0.0)),
        ("---9CpRcKoU_2", 1, "v_---9CpRcKoU.mp4", (TRAIN,), (0.0, 3.0)),
    ]
    assert "1 videos of the testing subset have no labels and are left out" in capsys.readouterr().out


def test_a_labelled_subset_without_a_segment_is_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, official({**DATABASE, "empty": {"subset": "training", "annotations": []}}))
    assert len(read_catalog("activitynet", tmp_path).videos) == 4
    assert "1 videos of the other subsets have no segment and are left out" in capsys.readouterr().out


def test_the_derived_list_takes_its_subsets_from_the_csv_beside_it(tmp_path: Path) -> None:
    write(tmp_path, official(DATABASE))
    expected = read_catalog("activitynet", tmp_path)
    write(tmp_path, {f"v_{name}": {"annotations": entry["annotations"]} for name, entry in DATABASE.items()})
    with pytest.raises(InputError, match=r"no subsets: put the official file there, or .*video_info_new\.csv next to it"):
        read_catalog("activitynet", tmp_path)
    rows = "".join(f"v_{name},9,{entry['subset']}\n" for name, entry in DATABASE.items())
    (tmp_path / "split/video_info_new.csv").write_text("video,numFrame,subset\n" + rows, encoding="utf-8")
    assert read_catalog("activitynet", tmp_path).videos == expected.videos


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"subset": "train", "annotations": []}, "abc: subset 'train' should be training, validation or testing"),
        ({"subset": "training"}, "abc: no list of annotations"),
        ({"subset": "training", "annotations": {"label": "Run", "segment": [1, 20]}}, "abc: no list of annotations"),
        ({"subset": "training", "annotations": [{"segment": [1, 2]}]}, "abc, annotation 1: no label"),
        ({"subset": "training", "annotations": [{"label": "Run"}]}, "abc, annotation 1: segment None should be"),
        ({"subset": "training", "annotations": [{"label": "Run", "segment": [1, float("nan")]}]}, r"segment \[1, nan\]"),
        ({"subset": "training", "annotations": [{"label": "Run", "segment": ["1", 2]}]}, r"segment \['1', 2\] should be"),
        ({"subset": "training", "annotations": [{"label": "../Run", "segment": [1, 2]}]}, "the name '../Run'"),
    ],
)
def test_bad_activitynet_entries_are_refused_by_name(tmp_path: Path, entry: object, says: str) -> None:
    write(tmp_path, official({"abc": entry}))
    with pytest.raises(InputError, match=says) as raised:
        read_catalog("activitynet", tmp_path)
    assert "\n" not in str(raised.value)


def test_activitynet_wants_one_list(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    with pytest.raises(InputError, match=r"should hold one \.json file, .* and holds none"):
        read_catalog("activitynet", tmp_path)
    write(tmp_path, official(DATABASE))
    (tmp_path / "split/b.json").touch()
    with pytest.raises(InputError, match=r"holds activity_net\.v1-3\.min\.json, b\.json"):
        read_catalog("activitynet", tmp_path)


def test_segments_of_one_file_share_it_and_are_missing_together(tmp_path: Path) -> None:
    write(tmp_path, official(DATABASE))
    (tmp_path / "video/---9CpRcKoU.webm").touch()
    (tmp_path / "video/v_unlabelled1.mp4").touch()
    matched = match(read_catalog("activitynet", tmp_path), tmp_path / "video")
    assert {v.video_id: path for v, path in matched.found.items()} == {
        "---9CpRcKoU_1": "---9CpRcKoU.webm",
        "---9CpRcKoU_2": "---9CpRcKoU.webm",
    }
    assert [v.video_id for v in matched.missing] == ["v_bcdefghij_1", "v_bcdefghij_2"]
    assert matched.unlisted == ("v_unlabelled1.mp4",)


def test_segments_are_saved_only_where_there_are_any(tmp_path: Path) -> None:
    write(tmp_path, official(DATABASE))
    catalog = read_catalog("activitynet", tmp_path)
    whole = catalogs.Video(class_name="Zumba", video_id="whole", label=0, path="whole.mp4", flags=(TRAIN,))
    both = catalogs.Catalog(
        dataset="activitynet",
        class_names=catalog.class_names,
        splits=("1",),
        videos=(*catalog.videos, whole),
        split_source=catalog.split_source,
    )
    catalogs.save(both, tmp_path, catalogs.Extraction(frame_settings=FrameSettings(), layout="dir"))
    loaded, _ = catalogs.load(tmp_path)
    written = json.loads((tmp_path / "catalog.json").read_text())
    assert loaded == both
    assert written["videos"][0]["segment_s"] == [1.5, 4.0]
    assert "segment_s" not in written["videos"][-1]


def test_extraction_takes_each_segments_frames_from_the_shared_file(tmp_path: Path, run: Run) -> None:
    segments = [[0, 0.4], [1.0, 1.2], [7, 9]]  # 25 frames a second, 2 seconds: the last lies past the end
    annotations = [{"label": "Run", "segment": segment} for segment in segments]
    write(tmp_path, official({"abcdefghijk": {"subset": "training", "annotations": annotations}}))
    make_video(tmp_path / "video/v_abcdefghijk.mp4", frames=50)
    arguments = ("--dataset", "activitynet", "--root", tmp_path, "--out", tmp_path / "f", "--max-failures", 1)
    run("preprocess/extract_frames.py", *arguments)
    entries = ledger.read(tmp_path / "f")
    assert [(e.status, e.stored_frames) for e in entries.values()] == [("ok", 11), ("ok", 6), ("failed", 0)]


def test_the_derived_activitynet_list_in_use_reads_whole(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "split").mkdir()
    for name in ("anet_anno_action.json", "video_info_new.csv"):
        shutil.copy(shared / "data/annotations/activitynet" / name, tmp_path / "split" / name)
    catalog = read_catalog("activitynet", tmp_path)
    assert (len(catalog.videos), len(catalog.class_names)) == (22152, 200)
    assert len({v.path for v in catalog.videos if v.flags == (TRAIN,)}) == 9649
    assert len({v.path for v in catalog.videos if v.flags == (TEST,)}) == 4728
