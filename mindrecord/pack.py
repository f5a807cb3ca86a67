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
from mindrecord.plan import MIB
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.frame_store import read_frames

HEADER_BYTES = MIB


@dataclass(frozen=True)
class RowSource:
    """One video to pack: what the row says of it, and the folder or zip that its frames are in."""

    class_name: str
    video_id: str
    label: int
    flags: tuple[int, ...]
    fps: float
    frames: int
    path: Path


@dataclass(frozen=True)
class ShardTask:
    """One shard to write: where, with which page size, from which videos."""

    path: Path
    page_bytes: int
    flags: tuple[int, ...]
    layout: str
    rows: tuple[RowSource, ...]


def write_shard(task: ShardTask) -> Shard:
    """Write the shard and check it: rows counted (MindRecord drops ill-typed rows with a mere warning), read back, hashed.

    Raises InputError when a frame is missing or the file does not give back what was written.
    """
    writer = FileWriter(str(task.path), shard_num=1, overwrite=True)
    writer.set_header_size(HEADER_BYTES)
    writer.set_page_size(task.page_bytes)
    writer.add_schema(schema.FIELDS, "one video a row")
    written = []
    for source in task.rows:
        row = make_row(source, task.layout)
        written.append(digest(row))
        writer.write_raw_data([row])
    writer.commit()
    if [digest(row) for row in read_rows(task.path)] != written:
        raise InputError(f"{task.path} does not give back what was written to it: is the disk full or failing?")
    database = task.path.with_name(task.path.name + ".db")
    for path in (task.path, database):  # MindRecord keeps them to the owner; others of a cluster read them too
        files.apply_umask(path)
    return Shard(
        file=task.path.name,
        flags=task.flags,
        rows=len(task.rows),
        frames=sum(row.frames for row in task.rows),
        size_bytes=task.path.stat().st_size,
        sha256=files.sha256(task.path),
        db_size_bytes=database.stat().st_size,
        db_sha256=files.sha256(database),
    )


def make_row(source: RowSource, layout: str) -> dict[str, Any]:
    """Read a video's JPEGs into one row. Raises InputError naming the first frame that is not there."""
    jpegs = read_frames(source.path, layout, source.frames)
    return {
        "class_name": source.class_name,
        "video_id": source.video_id,
        "label": source.label,
        "flags": np.array(source.flags, np.int32),
        "fps": source.fps,
        "offsets": np.cumsum([0, *map(len, jpegs)], dtype=np.int64),
        "jpegs": b"".join(jpegs),
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
    sha = hashlib.sha256(repr([row["class_name"], row["video_id"], int(row["label"]), float(row["fps"])]).encode())
    for name in ("flags", "offsets"):
        sha.update(np.asarray(row[name]).astype(np.int64).tobytes())
    sha.update(row["jpegs"])
    return sha.hexdigest()
