"""What every source gives to pack: a catalog, and of each video its rows and where its JPEGs come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mindrecord.manifest import Absent
from mindrecord.plan import PlannedRow
from preprocess import ledger
from preprocess.catalog import Catalog, Video
from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.frame_settings import FrameSettings


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """How shards are written, whatever is packed."""

    out: Path = Path("work/records")
    """The records folder to write; it appears whole or not at all."""
    shard_mb: int = 256
    """Largest size of a shard, in MiB; a video that is larger has a shard of its own."""
    segment_frames: int = 0
    """Cut a video longer than this into rows of this many frames, which are quicker to read a clip from; 0 makes every video
    one row. Training and evaluation see the same clips either way."""
    seed: int = 0
    """Seed of the order in which videos are spread over the shards."""

    def check_packing(self, workers: int) -> None:
        """Check the values, and the number of workers.

        Raises:
            InputError: one is out of range.
        """
        worker_count(workers)
        for name, least in (("shard_mb", 1), ("segment_frames", 0), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"--{name.replace('_', '-')} {value} is not {least} or more")


class Jpegs(Protocol):
    """The frames of one video, each a JPEG file's bytes."""

    def read(self) -> list[bytes]:
        """All frames, in order.

        Raises:
            InputError: they are not what the plan was made for.
        """


@dataclass(frozen=True, kw_only=True)
class PackableVideo:
    """A video that can be packed: its frame rate, the rows that it makes, and where their JPEGs are."""

    video: Video
    fps: float
    rows: tuple[PlannedRow, ...]
    jpegs: Jpegs

    @property
    def frames(self) -> int:
        """Frames of the whole video."""
        return sum(row.frames for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set to pack.

    Its catalog, the settings that shaped its frames, a hash of all frames, and, in the catalog's order, the videos that are
    there and those that are not. `entries` is the ledger, empty where none is to be kept with the records.
    `sha256_schema_2` is the hash as packs of schema 2 recorded it.
    """

    listed: Catalog
    frame_settings: FrameSettings
    sha256: str
    videos: tuple[PackableVideo, ...]
    absent: tuple[Absent, ...]
    entries: tuple[ledger.Entry, ...] = ()
    sha256_schema_2: str = ""


def hash_frames(entries: Iterable[ledger.Entry]) -> str:
    """A hash of what became of every video and of all their JPEGs."""
    hashed = hashlib.sha256()
    for entry in entries:
        hashed.update(f"{entry.name}\0{entry.status}\0{entry.jpeg_sha256}\n".encode())
    return hashed.hexdigest()


def hash_of_schema_2(entries: Iterable[ledger.Entry]) -> str:
    """That hash as packs of schema 2 recorded it: of the whole ledger."""
    return hashlib.sha256("".join(map(ledger.to_line_of_schema_2, entries)).encode()).hexdigest()


def absent(listed: Catalog, entries: dict[str, ledger.Entry]) -> tuple[Absent, ...]:
    """The listed videos that gave no frames."""
    return tuple(
        Absent(class_name=video.class_name, video_id=video.video_id, flags=video.flags, status=entries[video.name].status)
        for video in listed.videos
        if entries[video.name].status != ledger.OK
    )
