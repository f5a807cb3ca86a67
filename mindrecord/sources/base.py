"""What every source gives to pack: a catalog, and of each video its rows and where its JPEGs come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mindrecord.manifest import Absent
from mindrecord.plan import PlannedRow
from preprocess import ledger
from preprocess.catalog import Catalog, Video


class Jpegs(Protocol):
    """The frames of one video, each a JPEG file's bytes."""

    def read(self) -> list[bytes]:
        """All frames, in order. Raises InputError when they are not what the plan was made for."""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Source:
    """A data set to pack: its catalog, the settings that shaped its frames, a hash of all that is known of them, and, in the
    catalog's order, the videos that are there and those that are not. `entries` is the ledger, empty where none is to be
    kept with the records."""

    listed: Catalog
    settings: dict[str, Any]
    sha256: str
    videos: tuple[PackableVideo, ...]
    absent: tuple[Absent, ...]
    entries: tuple[ledger.Entry, ...] = ()


def absent(listed: Catalog, entries: dict[str, ledger.Entry]) -> tuple[Absent, ...]:
    """The listed videos that gave no frames."""
    return tuple(
        Absent(video.class_name, video.video_id, video.flags, entries[video.name].status)
        for video in listed.videos
        if entries[video.name].status != ledger.OK
    )
