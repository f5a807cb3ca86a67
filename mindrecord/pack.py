"""Write one shard, read it back, hash it. The one module of this stage that needs MindSpore."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore.mindrecord import FileReader, FileWriter

from mindrecord import schema
from mindrecord.manifest import Shard
from mindrecord.plan import HEADER_BYTES, PlannedRow
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.frame_store import read_frames


@dataclass(frozen=True)
class VideoSource:
    """One video to pack: what its rows say of it, which rows it makes, and the folder or zip that its frames are in."""

    class_name: str
    video_id: str
    label: int
    flags: tuple[int, ...]
    fps: float
    frames: int
    rows: tuple[PlannedRow, ...]
    path: Path


@dataclass(frozen=True)
class ShardTask:
    """One shard to write: where, with which page size, from which videos, and what a run before says it has written."""

    path: Path
    page_bytes: int
    flags: tuple[int, ...]
    layout: str
    videos: tuple[VideoSource, ...]
    before: Shard | None


def write_shard(task: ShardTask) -> Shard:
    """Write the shard and check it: rows counted (MindRecord drops ill-typed rows with a mere warning), read back, hashed.

    A shard that a run before has written and that still has its hashes is left alone.

    Raises InputError when a frame is missing or the file does not give back what was written.
    """
    if task.before is not None and task.before == described(task):
        return task.before
    writer = FileWriter(str(task.path), shard_num=1, overwrite=True)
    writer.set_header_size(HEADER_BYTES)
    writer.set_page_size(task.page_bytes)
    writer.add_schema(schema.FIELDS, "a video a row, or a segment of one")
    written = []
    for video in task.videos:
        for row in make_rows(video, task.layout):
            written.append(digest(row))
            writer.write_raw_data([row])
    writer.commit()
    if [digest(row) for row in read_rows(task.path)] != written:
        raise InputError(f"{task.path} does not give back what was written to it: is the disk full or failing?")
    for path in (task.path, index_path(task.path)):  # MindRecord keeps them to the owner; others of a cluster read them too
        files.apply_umask(path)
    shard = described(task)
    assert shard is not None
    return shard


def described(task: ShardTask) -> Shard | None:
    """The task's shard as it is on disk; None when it or its index is not there."""
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
    """The index that MindRecord writes beside a shard."""
    return shard.with_name(shard.name + ".db")


def make_rows(video: VideoSource, layout: str) -> Iterator[dict[str, Any]]:
    """Read a video's JPEGs into its rows. Raises InputError naming the first frame that is not there."""
    jpegs = read_frames(video.path, layout, video.frames)
    for row in video.rows:
        part = jpegs[row.first_frame : row.first_frame + row.frames]
        if sum(map(len, part)) != row.jpeg_bytes:
            raise InputError(f"{video.path} has changed since it was extracted: delete it and run extract_frames.py again")
        yield {
            "class_name": video.class_name,
            "video_id": video.video_id,
            "label": video.label,
            "flags": np.array(video.flags, np.int32),
            "fps": video.fps,
            "first_frame": row.first_frame,
            "video_frames": video.frames,
            "offsets": np.cumsum([0, *map(len, part)], dtype=np.int64),
            "jpegs": b"".join(part),
        }


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one shard, in order."""
    reader = FileReader(str(path))
    try:
        yield from reader.get_next()
    finally:
        reader.close()


def digest(row: dict[str, Any]) -> str:
    """A hash of everything in a row."""
    numbers = [int(row[name]) for name in ("label", "first_frame", "video_frames")]
    sha = hashlib.sha256(repr([row["class_name"], row["video_id"], float(row["fps"]), *numbers]).encode())
    for name in ("flags", "offsets"):
        sha.update(np.asarray(row[name]).astype(np.int64).tobytes())
    sha.update(row["jpegs"])
    return sha.hexdigest()
