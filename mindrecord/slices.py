"""Single frames of a video from its shard, without the rest of its row.

MindDataset reads a row whole, whichever columns are asked for: a clip of 16 frames costs all frames of its video. This reads
the shard's index (`.db`, SQLite) once, and then of each row the lengths of its fields, its offsets and the JPEGs wanted. The
layout is MindRecord's version 3.0, as MindSpore 2.10 writes it: a header (its length, then JSON), then pages; in a page, for
each row, the bytes of the row and, for each of the sorted array and bytes fields, the field's length and the field.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mindrecord import schema
from preprocess.common.errors import InputError

LAYOUT = "3.0"
BLOB_FIELDS = ["flags", "jpegs", "offsets"]
LENGTH_BYTES = 8
COLUMNS = [*(f"{name}_0" for name in schema.INDEXED), "PAGE_ID_BLOB", "PAGE_OFFSET_BLOB", "PAGE_OFFSET_BLOB_END"]
ROWS = f"SELECT {', '.join(COLUMNS)} FROM INDEXES ORDER BY ROW_ID"


@dataclass(frozen=True, slots=True)
class Row:
    """Where in the shard's file a row's bytes are, and which frame of the video is its first."""

    first_frame: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Video:
    """A video, whole or in segments, and where its frames are."""

    class_name: str
    video_id: str
    label: int
    frames: int
    path: Path
    rows: tuple[Row, ...]


def videos_of(path: Path) -> list[Video]:
    """The videos of a shard, in the order of their rows. Raises InputError on a file of another layout than we know."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = json.loads(file.read(header_bytes)) if header_bytes < path.stat().st_size else {}
    if header.get("version") != LAYOUT or header["schema"][0]["blob_fields"] != BLOB_FIELDS:
        raise InputError(f"{path} is not laid out as MindRecord {LAYOUT}: pack the frames again with mindrecord/build.py")
    videos: list[Video] = []
    with closing(
        sqlite3.connect(f"{path.with_name(path.name + '.db').resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    ) as db:
        for class_name, video_id, label, first_frame, frames, page, start, end in db.execute(ROWS):
            page_start = header["header_size"] + page * header["page_size"]
            row = Row(first_frame, page_start + start, page_start + end)
            before = videos.pop().rows if first_frame > 0 else ()
            videos.append(Video(class_name, video_id, label, frames, path, (*before, row)))
    return videos


def read_frames(video: Video, frames: NDArray[np.int64]) -> list[memoryview]:
    """The JPEGs of some frames of a video, 0-based, ascending, each once; neighbours are read together."""
    jpegs: list[memoryview] = []
    file = os.open(video.path, os.O_RDONLY)
    try:
        first_frames = [row.first_frame for row in video.rows]
        cuts = np.searchsorted(frames, first_frames[1:])
        for row, wanted in zip(video.rows, np.split(frames, cuts), strict=True):
            if len(wanted):
                jpegs += read_from_row(file, row, wanted - row.first_frame)
    finally:
        os.close(file)
    return jpegs


def read_from_row(file: int, row: Row, frames: NDArray[np.int64]) -> list[memoryview]:
    """The JPEGs of some frames of a row, counted from its first."""
    spans = []
    position = row.start + LENGTH_BYTES
    for _ in BLOB_FIELDS:
        length = int.from_bytes(os.pread(file, LENGTH_BYTES, position), "big")
        spans.append((position + LENGTH_BYTES, length))
        position += LENGTH_BYTES + length
    if position != row.end:
        raise InputError("a row of a shard does not end where its fields end: copy the records folder again")
    _, (jpegs, _), (start, length) = spans
    offsets = unpack(os.pread(file, length, start))
    found = []
    for run in np.split(frames, np.flatnonzero(np.diff(frames) != 1) + 1):
        ends = offsets[run[0] : run[-1] + 2].tolist()
        data = memoryview(os.pread(file, ends[-1] - ends[0], jpegs + ends[0]))
        found += [data[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends)]
    return found


def unpack(packed: bytes) -> NDArray[np.int64]:
    """MindRecord's packed integers, none below zero: their number, two bits each for a width of 1, 2, 4 or 8 bytes, then
    the integers, little-endian."""
    count = int.from_bytes(packed[:4], "big")
    widths_end = 4 + -(-count // 4)
    codes = np.frombuffer(packed, np.uint8, widths_end - 4, 4)
    widths = 1 << (codes[:, None] >> np.array([6, 4, 2, 0], np.uint8) & 3).ravel()[:count]
    integers = np.zeros((count, 8), np.uint8)
    integers[np.arange(8) < widths[:, None]] = np.frombuffer(packed, np.uint8, offset=widths_end)
    return integers.view("<i8").ravel()
