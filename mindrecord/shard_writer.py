"""Write one shard, read it back, hash it. It needs MindSpore."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore.mindrecord import FileWriter

from mindrecord import schema
from mindrecord.manifest import Shard
from mindrecord.plan import HEADER_BYTES, MIB
from mindrecord.row_reader import read_rows
from mindrecord.sources.base import PackableVideo
from preprocess.common import files
from preprocess.common.errors import InputError

BATCH_ROWS, BATCH_BYTES = 256, 8 * MIB
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard to write: where, with which page size, from which videos, and what a previous run recorded of it."""

    path: Path
    page_bytes: int
    flags: tuple[int, ...]
    videos: tuple[PackableVideo, ...]
    before: Shard | None = None


def write_shard(task: ShardTask) -> Shard:
    """Write the shard and check it: rows counted (MindRecord drops ill-typed rows with a mere warning), read back, hashed.

    A shard that a previous run wrote and that still has its hashes is skipped.

    Raises:
        InputError: a frame is missing or the file does not give back what was written.
    """
    if task.before is not None and task.before == described(task):
        return task.before
    keep_freed_memory()
    for path in (task.path, index_path(task.path)):  # MindRecord would, but warns of it
        path.unlink(missing_ok=True)
    writer = FileWriter(str(task.path), shard_num=1)
    writer.set_header_size(HEADER_BYTES)
    writer.set_page_size(task.page_bytes)
    writer.add_schema(schema.FIELDS, "a video a row, or a segment of one")
    writer.add_index(schema.INDEXED)
    written: list[str] = []
    for rows in batches(row for video in task.videos for row in make_rows(video)):
        written += map(digest, rows)
        writer.write_raw_data(rows)
    writer.commit()
    if [digest(row) for row in read_rows(task.path)] != written:
        raise InputError(f"{task.path} does not give back what was written to it: is the disk full or failing?")
    for path in (task.path, index_path(task.path)):  # MindRecord keeps them to the owner; others of a cluster read them too
        files.apply_umask(path)
    shard = described(task)
    assert shard is not None
    return shard


def described(task: ShardTask) -> Shard | None:
    """The task's shard as it is on disk; None if it or its index is missing."""
    index = index_path(task.path)
    if not (task.path.is_file() and index.is_file()):
        return None
    return Shard(
        file=task.path.name,
        flags=task.flags,
        rows=sum(len(video.rows) for video in task.videos),
        videos=len(task.videos),
        frames=sum(video.frames for video in task.videos),
        size_bytes=task.path.stat().st_size,
        sha256=files.sha256(task.path),
        db_size_bytes=index.stat().st_size,
        db_sha256=files.sha256(index),
    )


def index_path(shard: Path) -> Path:
    """The index that MindRecord writes next to a shard."""
    return shard.with_name(shard.name + ".db")


def make_rows(packable: PackableVideo) -> Iterator[dict[str, Any]]:
    """Read a video's JPEGs into its rows.

    Raises:
        InputError: they are not those that were planned.
    """
    video, jpegs = packable.video, packable.jpegs.read()
    for row in packable.rows:
        part = jpegs[row.first_frame : row.first_frame + row.frames]
        if sum(map(len, part)) != row.jpeg_bytes:
            raise InputError(
                f"{packable.jpegs} has other bytes than the ledger says: delete it and run extract_frames.py again"
            )
        yield {
            "class_name": video.class_name,
            "video_id": video.video_id,
            "label": video.label,
            "group": video.group,
            "flags": np.array(video.flags, np.int32),
            "fps": packable.fps,
            "first_frame": row.first_frame,
            "video_frames": packable.frames,
            "offsets": np.cumsum([0, *map(len, part)], dtype=np.int64),
            "jpegs": b"".join(part),
        }


def batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Lists of rows of about `BATCH_BYTES` or `BATCH_ROWS`: a call of MindRecord's writer takes as long as a small row."""
    batch: list[dict[str, Any]] = []
    filled = 0
    for row in rows:
        batch.append(row)
        filled += len(row["jpegs"])
        if len(batch) == BATCH_ROWS or filled >= BATCH_BYTES:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


def keep_freed_memory() -> None:
    """Have the C library keep memory that is freed: every row is copied a few times, and half of the time of writing was the
    kernel handing out the same pages again. glibc, mallopt(3)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 32 * MIB)
        libc.mallopt(M_TRIM_THRESHOLD, 1024 * MIB)


def digest(row: dict[str, Any]) -> str:
    """A hash of everything in a row."""
    numbers = [int(row[name]) for name in ("label", "first_frame", "video_frames")]
    sha = hashlib.sha256(repr([row["class_name"], row["video_id"], row["group"], float(row["fps"]), *numbers]).encode())
    for name in ("flags", "offsets"):
        sha.update(np.asarray(row[name]).astype(np.int64).tobytes())
    sha.update(row["jpegs"])
    return sha.hexdigest()
