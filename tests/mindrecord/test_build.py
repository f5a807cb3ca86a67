from __future__ import annotations

import json
import shutil
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from conftest import Run, error_line

from mindrecord import manifest
from mindrecord.pack import read_rows
from preprocess import catalog, ledger
from preprocess.catalog import TEST, TRAIN
from preprocess.common.errors import InputError

COMMAND = "mindrecord/build.py"


def test_a_row_gives_back_exactly_the_bytes_of_its_frames(frames: Path, records: Path) -> None:
    entries = ledger.read(frames)
    seen = set()
    for shard in manifest.load(records).shards:
        for row in read_rows(records / shard.file):
            entry = entries[f"{row['class_name']}/{row['video_id']}"]
            paths = sorted((frames / entry.name).iterdir())
            cut = [row["jpegs"][a:b] for a, b in zip(row["offsets"][:-1], row["offsets"][1:], strict=True)]
            assert cut == [path.read_bytes() for path in paths]
            assert (row["fps"], tuple(row["flags"])) == (entry.fps, shard.flags)
            seen.add(entry.name)
    assert seen == set(entries)


def test_choosing_a_split_is_choosing_files(frames: Path, records: Path) -> None:
    packed = manifest.load(records)
    listed, _ = catalog.load(frames)
    for index, split in enumerate(packed.splits):
        for flag in (TRAIN, TEST):
            paths = [str(records / shard.file) for shard in packed.shards_of(split, flag)]
            rows = ds.MindDataset(paths, columns_list=["video_id", "label"], shuffle=False)
            found = {(str(row["video_id"]), int(row["label"])) for row in rows.create_dict_iterator(1, output_numpy=True)}
            assert found == {(v.video_id, v.label) for v in listed.videos if v.flags[index] == flag}


def test_the_shards_have_the_same_bytes_from_any_number_of_workers(
    frames: Path, records: Path, tmp_path: Path, run: Run
) -> None:
    run(COMMAND, "--frames", frames, "--out", tmp_path / "r", "--workers", 1)
    for path in records.iterdir():
        assert (tmp_path / "r" / path.name).read_bytes() == path.read_bytes()


def test_a_second_run_keeps_what_is_there(frames: Path, records: Path, run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in records.iterdir()}
    assert "already holds these frames" in run(COMMAND, "--frames", frames, "--out", records).stdout
    assert {path: path.stat().st_mtime_ns for path in records.iterdir()} == before


def test_absent_videos_are_in_the_manifest(frames: Path, tmp_path: Path, run: Run) -> None:
    shutil.copytree(frames, tmp_path / "f")
    lines = [json.loads(line) for line in (tmp_path / "f/ledger.jsonl").read_text().splitlines()]
    lines[2]["status"] = "missing"
    (tmp_path / "f/ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(COMMAND, "--frames", tmp_path / "f", "--out", tmp_path / "r")
    packed = manifest.load(tmp_path / "r")
    assert [(v.class_name, v.video_id, v.status) for v in packed.absent] == [("Alpha", "v_Alpha_g03_c01", "missing")]
    assert [len(packed.absent_of(split, TEST)) for split in packed.splits] == [0, 0, 1]
    assert sum(shard.rows for shard in packed.shards) == 7


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda f: (f / "Beta/v_Beta_g01_c01/image_00003.jpg").unlink(),
            "image_00003.jpg is missing, the ledger counts 21 frames",
        ),
        (lambda f: (f / "ledger.jsonl").unlink(), "is not finished, 8 of 8 videos are not in its ledger"),
        (lambda f: (f / "catalog.json").unlink(), "is not a frames folder"),
        (lambda f: (f / "catalog.json").write_text('{"schema": 0}'), "has schema 0"),
        (lambda f: (f / "ledger.jsonl").write_text("{\n" + (f / "ledger.jsonl").read_text()), "line 1 is damaged"),
    ],
)
def test_damaged_frames_are_named_and_no_records_folder_appears(
    change: object, says: str, frames: Path, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(frames, tmp_path / "f")
    change(tmp_path / "f")  # type: ignore[operator]
    assert says in error_line(run(COMMAND, "--frames", tmp_path / "f", "--out", tmp_path / "r", code=2))
    assert not [path for path in tmp_path.iterdir() if path.name != "f"]


def test_records_of_other_settings_or_frames_are_not_overwritten(
    frames: Path, records: Path, tmp_path: Path, run: Run
) -> None:
    done = run(COMMAND, "--frames", frames, "--out", records, "--seed", 7, code=2)
    assert "was packed with seed 0, this run asks for 7" in error_line(done)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("x")
    done = run(COMMAND, "--frames", frames, "--out", tmp_path / "thesis", code=2)
    assert "thesis holds something else" in error_line(done)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: (r / "split-112-00000.mindrecord").unlink(), "split-112-00000.mindrecord is missing"),
        (lambda r: (r / "split-112-00000.mindrecord.db").write_bytes(b"x"), "split-112-00000.mindrecord.db has 1 bytes"),
        (lambda r: (r / "manifest.json").write_text('{"schema": 0}'), "is of another schema than this version's 1"),
        (lambda r: (r / "manifest.json").unlink(), "is not a records folder"),
        (lambda r: (r / "manifest.json").write_text("{"), "is not a JSON file"),
    ],
)
def test_a_damaged_or_older_records_folder_is_refused_by_name(
    change: object, says: str, records: Path, tmp_path: Path
) -> None:
    shutil.copytree(records, tmp_path / "r")
    change(tmp_path / "r")  # type: ignore[operator]
    with pytest.raises(InputError, match=says):
        manifest.load(tmp_path / "r")


def test_a_page_holds_the_largest_row_however_large(tmp_path: Path, run: Run) -> None:
    """A video of more bytes than MindRecord's default page of 32 MiB."""
    folder = tmp_path / "f/Big/one"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = [12 << 20, 12 << 20, 12 << 20]
    for number, size in enumerate(sizes, start=1):
        (folder / f"image_{number:05d}.jpg").write_bytes(rng.bytes(size))
    listed = catalog.Catalog("folder", ("Big",), ("1",), (catalog.Video("Big", "one", 0, "Big/one.avi", (TRAIN,)),))
    catalog.save(listed, tmp_path / "f", settings={"layout": "dir"}, unlisted=[])
    ledger.rewrite(
        tmp_path / "f", [ledger.Entry("Big", "one", "Big/one.avi", "ok", decoded_frames=3, fps=25.0, jpeg_bytes=sum(sizes))]
    )
    run(COMMAND, "--frames", tmp_path / "f", "--out", tmp_path / "r", "--shard-mb", 8)
    (shard,) = manifest.load(tmp_path / "r").shards
    assert (shard.rows, shard.frames) == (1, 3)
    assert shard.size_bytes > sum(sizes)
