from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from conftest import Run, error_line

from mindrecord import manifest
from mindrecord.plan import MIB, PlannedRow, PlannedVideo, page_bytes, plan_shards
from mindrecord.row_reader import read_rows
from mindrecord.shard_writer import ShardTask, write_shard
from mindrecord.sources.base import PackableVideo
from mindrecord.sources.frames import StoredFrames
from preprocess import catalog, ledger
from preprocess.catalog import TEST, TRAIN, Video
from preprocess.common.errors import InputError
from preprocess.frame_settings import FrameSettings

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
            assert (row["first_frame"], row["video_frames"]) == (0, len(paths))
            seen.add(entry.name)
    assert seen == set(entries)


@pytest.mark.usefixtures("workers_here")
def test_segments_of_a_video_follow_each_other_in_its_shard_and_make_it_whole(
    frames: Path, tmp_path: Path, run: Run
) -> None:
    run(COMMAND, "--frames", frames, "--out", tmp_path / "r", "--segment-frames", 16)
    seen = []
    for shard in manifest.load(tmp_path / "r").shards:
        rows = list(read_rows(tmp_path / "r" / shard.file))
        names = [f"{row['class_name']}/{row['video_id']}" for row in rows]
        assert (len(rows), len(set(names))) == (shard.rows, shard.videos)
        for name, parts in itertools.groupby(rows, lambda row: f"{row['class_name']}/{row['video_id']}"):
            expected = [path.read_bytes() for path in sorted((frames / name).iterdir())]
            segments = list(parts)
            assert [row["first_frame"] for row in segments] == list(range(0, len(expected), 16))
            assert {row["video_frames"] for row in segments} == {len(expected)}
            assert [row["offsets"][-1] for row in segments] == [len(row["jpegs"]) for row in segments]
            assert b"".join(row["jpegs"] for row in segments) == b"".join(expected)
            seen.append(name)
    assert sorted(seen) == sorted(ledger.read(frames))


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
    run(COMMAND, "--frames", frames, "--out", tmp_path / "r", "--workers", 2)  # `records` were written without workers
    for path in (tmp_path / "r").iterdir():
        assert (records / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="Dask is not installed: requirements-cluster.lock"
)
def test_a_cluster_writes_the_same_bytes(frames: Path, records: Path, tmp_path: Path, run: Run) -> None:
    run(COMMAND, "--frames", frames, "--out", tmp_path / "r", "--cluster", "local:2")
    for path in (tmp_path / "r").iterdir():
        assert (records / path.name).read_bytes() == path.read_bytes()
        assert (records / path.name).stat().st_mode == path.stat().st_mode


@pytest.mark.usefixtures("workers_here")
def test_a_second_run_keeps_what_is_there(frames: Path, records: Path, run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in records.iterdir()}
    assert "already holds these frames" in run(COMMAND, "--frames", frames, "--out", records).stdout
    assert {path: path.stat().st_mtime_ns for path in records.iterdir()} == before


@pytest.mark.usefixtures("workers_here")
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


@pytest.mark.usefixtures("workers_here")
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
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("workers_here")
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
        (lambda r: (r / "manifest.json").write_text('{"schema": 0}'), "has schema 0, this version reads 2 and 3"),
        (lambda r: (r / "manifest.json").unlink(), "is not a records folder"),
        (lambda r: (r / "manifest.json").write_text("{"), "is not a JSON file"),
        (lambda r: (r / "manifest.json").write_text("[]"), "has schema None, this version reads 2 and 3"),
        (lambda r: (r / "manifest.json").write_text('{"schema": 3}'), "has not the keys that mindrecord/build.py writes"),
    ],
)
def test_a_damaged_or_older_records_folder_is_refused_by_name(change: object, says: str, pack: Path) -> None:
    change(pack)  # type: ignore[operator]
    with pytest.raises(InputError, match=says):
        manifest.load(pack)


def make_one_video(folder: Path, sizes: list[int]) -> None:
    """A frames folder of one video with frames of these sizes, which are no pictures."""
    (folder / "Big/one").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, size in enumerate(sizes, start=1):
        (folder / f"Big/one/image_{number:05d}.jpg").write_bytes(rng.bytes(size))
    listed = catalog.Catalog(
        dataset="folder",
        class_names=("Big",),
        splits=("1",),
        videos=(catalog.Video(class_name="Big", video_id="one", label=0, path="Big/one.avi", flags=(TRAIN,)),),
        split_source=catalog.UNKNOWN,
    )
    catalog.save(listed, folder, catalog.Extraction(frame_settings=FrameSettings(), layout="dir"))
    entry = ledger.Entry(
        class_name="Big",
        video_id="one",
        path="Big/one.avi",
        status="ok",
        stored_frames=len(sizes),
        fps=25.0,
        jpeg_bytes=sum(sizes),
    )
    ledger.journal(folder).rewrite([entry])


@pytest.mark.usefixtures("workers_here")
def test_a_page_holds_the_largest_row_however_large(tmp_path: Path, run: Run) -> None:
    """A video of more bytes than MindRecord's default page of 32 MiB."""
    make_one_video(tmp_path / "f", [12 * MIB] * 3)
    run(COMMAND, "--frames", tmp_path / "f", "--out", tmp_path / "r", "--shard-mb", 8)
    (shard,) = manifest.load(tmp_path / "r").shards
    assert (shard.rows, shard.videos, shard.frames) == (1, 1, 3)
    assert shard.size_bytes > 36 * MIB


@pytest.mark.usefixtures("workers_here")
def test_a_video_too_large_for_a_page_is_told_how_to_be_cut(tmp_path: Path, run: Run) -> None:
    make_one_video(tmp_path / "f", [1] * 100)
    (entry,) = ledger.read(tmp_path / "f").values()
    ledger.journal(tmp_path / "f").rewrite([replace(entry, jpeg_bytes=300 * MIB)])
    done = run(COMMAND, "--frames", tmp_path / "f", "--out", tmp_path / "r", code=2)
    says = "Big/one would have a row of 300 MiB, MindRecord holds 256: cut long videos with --segment-frames 85 or less"
    assert says in error_line(done)


@pytest.mark.usefixtures("workers_here")
def test_a_file_is_no_larger_than_asked(tmp_path: Path) -> None:
    """Rows of a third to one page, as MindRecord lays them out."""
    rng = np.random.default_rng(1)
    planned = [PlannedVideo(i, (1,), (PlannedRow(0, 1, int(size)),)) for i, size in enumerate(rng.integers(4e5, 1e6, 40))]
    page = page_bytes(planned, 12 * MIB)
    for shard in plan_shards(planned, 12 * MIB, page, 0):
        sources = []
        for video in shard.videos:
            folder = tmp_path / str(video.index)
            folder.mkdir()
            (folder / "image_00001.jpg").write_bytes(rng.bytes(video.rows[0].jpeg_bytes))
            about = Video(class_name="A", video_id=str(video.index), label=0, path="", flags=(1,))
            sources.append(PackableVideo(video=about, fps=25.0, rows=video.rows, jpegs=StoredFrames(folder, "dir", 1)))
        written = write_shard(ShardTask(path=tmp_path / shard.file, page_bytes=page, flags=(1,), videos=tuple(sources)))
        assert 8 * MIB < written.size_bytes <= 12 * MIB


@pytest.mark.slow
def test_200_000_rows_open_within_3_seconds(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/image_00001.jpg").write_bytes(b"x" * 500)
    jpegs, rows = StoredFrames(tmp_path / "one", "dir", 1), (PlannedRow(0, 1, 500),)
    paths = []
    for shard in range(8):
        abouts = (Video(class_name="A", video_id=f"{shard}_{i}", label=0, path="", flags=(1,)) for i in range(25_000))
        videos = tuple(PackableVideo(video=about, fps=0.0, rows=rows, jpegs=jpegs) for about in abouts)
        path = tmp_path / f"split-1-{shard:05d}.mindrecord"
        assert write_shard(ShardTask(path=path, page_bytes=4 * MIB, flags=(1,), videos=videos)).rows == 25_000
        paths.append(str(path))
    began = time.monotonic()
    packed = ds.MindDataset(paths, columns_list=["label", "offsets", "jpegs"], shuffle=ds.Shuffle.GLOBAL)
    assert packed.get_dataset_size() == 200_000
    next(iter(packed.create_dict_iterator(num_epochs=1, output_numpy=True)))
    assert time.monotonic() - began < 3
