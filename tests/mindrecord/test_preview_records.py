from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import Run
from PIL import Image

from mindrecord.manifest import Absent, Manifest, Shard
from mindrecord.preview import sheet_row, summary
from preprocess.catalog import SplitSource
from preprocess.common.contact_sheet import GAP, LABEL_WIDTH, TILE_HEIGHT
from preprocess.frame_settings import FrameSettings

COMMAND = "mindrecord/preview.py"
MIB = 1 << 20


def test_the_summary_has_the_splits_and_the_signatures() -> None:
    shards = (
        Shard(
            file="a", flags=(1, 2), rows=20, videos=10, frames=900, size_bytes=MIB, sha256="", db_size_bytes=0, db_sha256=""
        ),
        Shard(
            file="b", flags=(1, 2), rows=10, videos=5, frames=100, size_bytes=MIB, sha256="", db_size_bytes=MIB, db_sha256=""
        ),
        Shard(
            file="c", flags=(0, 1), rows=1, videos=1, frames=7, size_bytes=MIB // 2, sha256="", db_size_bytes=0, db_sha256=""
        ),
    )
    absent = (Absent(class_name="Beta", video_id="x", flags=(2, 0), status="missing"),)
    counts = {"1": {"train": [15, 0], "test": [0, 0]}, "2": {"train": [1, 0], "test": [15, 0]}}
    packed = Manifest(
        dataset="ucf101",
        class_names=("Alpha", "Beta"),
        splits=("1", "2"),
        split_source=SplitSource(drawn="random", seed=3),
        splits_sha256="",
        release="",
        frame_settings=FrameSettings(fps=12.5),
        settings={"shard_mb": 256, "seed": 0},
        frames_sha256="",
        shards=shards,
        absent=absent,
        class_videos=counts,
    )
    assert summary(packed) == [
        "ucf101: 2 classes, 1 with videos, 16 videos in 31 rows, 1007 frames",
        "frames: short side 240, quality 90, 12.5 frames a second; shard_mb 256, seed 0",
        "splits drawn at random, clip by clip (seed 3)",
        "",
        "split  train  test  listed, not packed",
        "1         15     0                   1",
        "2          1    15                   0",
        "",
        "signature  split 1  split 2  shards  videos  rows  frames  MiB",
        "12           train     test       2      15    30    1000  3.0",
        "01          unused    train       1       1     1       7  0.5",
        "",
    ]


def test_the_sheet_has_a_row_a_clip_with_its_frames_and_its_names(records: Path, tmp_path: Path, run: Run) -> None:
    said = run(COMMAND, records, "--out", tmp_path / "sheet.png", "--clips", 3, "--tiles", 4).stdout
    assert "ucf101: 2 classes, 2 with videos, 8 videos in 8 rows, 180 frames" in said
    assert "frames of 64x48: " in said
    assert "6 clips of 2 classes" in said
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image).astype(int)
    tile_width = round(64 * TILE_HEIGHT / 48)
    assert sheet.shape == (6 * (TILE_HEIGHT + GAP) + GAP, LABEL_WIDTH + 4 * (tile_width + GAP) + GAP, 3)
    for row in range(6):
        part = sheet[GAP + row * (TILE_HEIGHT + GAP) :][:TILE_HEIGHT]
        assert part[:, :LABEL_WIDTH].min() < 100  # the names are written
        assert all(part[:, LABEL_WIDTH + i * (tile_width + GAP) :][:, :tile_width].std() > 10 for i in range(4))


def test_a_clip_says_which_frames_it_has_and_what_the_splits_use_it_for(frames: Path) -> None:
    jpegs = [(frames / "Beta/v_Beta_g01_c01" / f"image_{n:05d}.jpg").read_bytes() for n in (1, 2, 3)]
    row = {
        "class_name": "Beta",
        "video_id": "v_Beta_g01_c01",
        "flags": np.array([2, 1, 1]),
        "first_frame": 16,
        "video_frames": 21,
        "offsets": np.cumsum([0, *map(len, jpegs)]),
        "jpegs": b"".join(jpegs),
    }
    lines = ("Beta", "v_Beta_g01_c01", "frames 16 to 18 of 21", "test in 1; train in 2, 3")
    assert sheet_row(row, ("1", "2", "3"), 2).lines == lines
    assert sheet_row(row | {"video_frames": 3, "first_frame": 0}, ("1", "2", "3"), 2).lines[2] == "3 frames"
    assert [tile.shape for tile in sheet_row(row, ("1", "2", "3"), 2).tiles] == [(TILE_HEIGHT, 96, 3)] * 2
