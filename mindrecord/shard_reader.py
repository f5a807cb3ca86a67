"""Single frames of a video from its shard, without the rest of its row.

MindDataset reads a row whole, whichever columns are asked for: a clip of 16 frames costs all frames of its video. This reads
the shard's index (`.db`, SQLite) once, and then of each row the lengths of its fields, its offsets and the JPEGs wanted. The
layout is MindRecord's version 3.0, as MindSpore 2.10 writes it: a header (its length, then JSON), then pages; in a page, for
each row, the bytes of the row and, for each of the sorted array and bytes fields, the field's length and the field.
"""

from __future__ import annotations

import bisect
import itertools
import json
import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindrecord import schema
from mindrecord.manifest import Manifest
from preprocess.catalog import VideoKey
from preprocess.common.errors import InputError
from preprocess.groups import group_by_name

LAYOUT = "3.0"
BLOB_FIELDS = ["flags", "jpegs", "offsets"]
LENGTH_BYTES = 8
HEAD_BYTES = 4096  # of a row, more than what comes before its JPEGs
WIDTHS = 1 << (np.arange(256)[:, None] >> np.array([6, 4, 2, 0]) & 3)  # the widths that each byte of them says
COLUMNS = [*(f"{name}_0" for name in schema.INDEXED), "PAGE_ID_BLOB", "PAGE_OFFSET_BLOB", "PAGE_OFFSET_BLOB_END"]
GROUP = "group_0"  # the one column that schema 2 lacks


@dataclass(frozen=True, slots=True)
class Row:
    """Where in the shard's file a row's bytes are, and which frame of the video is its first."""

    first_frame: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Video(VideoKey):
    """A video, whole or in segments, and where its frames are. `group` is empty in a shard of schema 2."""

    label: int
    group: str
    frames: int
    path: Path
    rows: tuple[Row, ...]


def videos_of(path: Path) -> list[Video]:
    """The videos of a shard, in the order of their rows.

    Raises:
        InputError: a file is of another layout than we know.
    """
    try:
        return indexed_videos(path, read_header(path))
    except (ValueError, KeyError, IndexError, sqlite3.Error) as error:
        raise InputError(f"{path} or its index is damaged ({error}): mindrecord/verify.py says what to do") from None


def read_header(path: Path) -> dict[str, Any]:
    """What a shard begins with.

    Raises:
        InputError: as `videos_of`.
        Exception: what parsing a damaged header raises.
    """
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header: dict[str, Any] = json.loads(file.read(header_bytes)) if header_bytes < path.stat().st_size else {}
    if header.get("version") != LAYOUT or header["schema"][0]["blob_fields"] != BLOB_FIELDS:
        raise InputError(f"{path} is not laid out as MindRecord {LAYOUT}: pack the frames again with mindrecord/build.py")
    return header


def indexed_videos(path: Path, header: dict[str, Any]) -> list[Video]:
    """The videos that a shard's index lists, in the order of their rows."""
    videos: list[Video] = []
    with closing(
        sqlite3.connect(f"{path.with_name(path.name + '.db').resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    ) as db:
        names = {row[1] for row in db.execute("PRAGMA table_info(INDEXES)")}
        columns = ", ".join(name if name in names or name != GROUP else "''" for name in COLUMNS)
        found = db.execute(f"SELECT {columns} FROM INDEXES ORDER BY ROW_ID")
        for class_name, video_id, label, group, first_frame, frames, page, start, end in found:
            page_start = header["header_size"] + page * header["page_size"]
            row = Row(first_frame, page_start + start, page_start + end)
            before = videos.pop().rows if first_frame > 0 else ()
            videos.append(
                Video(
                    class_name=class_name,
                    video_id=video_id,
                    label=label,
                    group=group,
                    frames=frames,
                    path=path,
                    rows=(*before, row),
                )
            )
    return videos


def videos_of_split(records: Path, manifest: Manifest, split: str, flag: int, without: Collection[str] = ()) -> list[Video]:
    """The videos with `flag` in `split`, in the order of the shards, but for those `without`, named Class/video_id.

    Videos of a pack of schema 2 get the group that their name tells.

    Raises:
        InputError: there is no such split, or a shard is damaged.
    """
    found = [video for shard in manifest.shards_of(split, flag) for video in videos_of(records / shard.file)]
    return [with_group(video, manifest.dataset) for video in found if video.name not in without]


def with_group(video: Video, dataset: str) -> Video:
    """The video, its group taken from its name where its shard does not have it."""
    return video if video.group else replace(video, group=group_by_name(dataset, video.class_name, video.video_id))


def read_frames(video: Video, frames: NDArray[np.int64]) -> list[memoryview]:
    """The JPEGs of some frames of a video, 0-based, ascending, each once; neighbours are read together."""
    wanted: list[int] = frames.tolist()
    jpegs: list[memoryview] = []
    file = os.open(video.path, os.O_RDONLY)
    try:
        begin = 0
        for row, next_row in itertools.zip_longest(video.rows, video.rows[1:]):
            end = bisect.bisect_left(wanted, next_row.first_frame, begin) if next_row else len(wanted)
            if begin < end:
                jpegs += read_from_row(file, row, [frame - row.first_frame for frame in wanted[begin:end]])
            begin = end
    finally:
        os.close(file)
    return jpegs


def read_from_row(file: int, row: Row, frames: list[int]) -> list[memoryview]:
    """The JPEGs of some frames of a row, counted from its first, in three reads where they follow each other."""
    head = os.pread(file, HEAD_BYTES, row.start)
    flags_end = 2 * LENGTH_BYTES + length_at(head, LENGTH_BYTES)
    jpegs = row.start + flags_end + LENGTH_BYTES
    jpegs_end = jpegs + length_at(head, flags_end)
    tail = os.pread(file, max(row.end - jpegs_end, 0), jpegs_end)
    if len(tail) < LENGTH_BYTES or jpegs_end + LENGTH_BYTES + length_at(tail, 0) != row.end:
        raise InputError("a row of a shard does not end where its fields end: copy the records folder again")
    first = frames[0]
    offsets = unpack(tail[LENGTH_BYTES:], first, frames[-1] + 1)
    found = []
    begin = 0
    for end in range(1, len(frames) + 1):
        if end == len(frames) or frames[end] != frames[end - 1] + 1:
            ends = offsets[frames[begin] - first : frames[end - 1] - first + 2]
            data = memoryview(os.pread(file, ends[-1] - ends[0], jpegs + ends[0]))
            found += [data[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends)]
            begin = end
    return found


def length_at(data: bytes, start: int) -> int:
    """The length of a field, as it stands before the field."""
    return int.from_bytes(data[start : start + LENGTH_BYTES], "big")


def unpack(packed: bytes, first: int, last: int) -> list[int]:
    """Those from `first` to `last` of MindRecord's packed integers, none below zero: their number, two bits each for a width
    of 1, 2, 4 or 8 bytes, then the integers, little-endian."""
    position = 4 + -(-int.from_bytes(packed[:4], "big") // 4)
    widths = WIDTHS[np.frombuffer(packed, np.uint8, position - 4, 4)].ravel()
    position += int(widths[:first].sum())
    integers = []
    for width in widths[first : last + 1].tolist():
        integers.append(int.from_bytes(packed[position : position + width], "little"))
        position += width
    return integers
