"""What there is to pack, and the first of the three sources: a frames folder. `videos` and `images` are the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindrecord.jpegs import Jpegs, StoredFrames
from mindrecord.manifest import Absent
from mindrecord.plan import PlannedRow, segment_rows
from preprocess import catalog, ledger
from preprocess.catalog import Catalog, Video
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.frame_store import frame_bytes, target


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


def frames_folder(folder: Path, segment_frames: int) -> Source:
    """A frames folder that preprocess finished. Videos to cut have the sizes of their frames looked up.

    Raises InputError when it is not one, is not finished, or has no frames.
    """
    listed, written = catalog.load(folder)
    entries = ledger.read(folder)
    ledger.check_finished(folder, listed, entries)
    layout = written["settings"]["layout"]
    videos = []
    for video in listed.videos:
        entry = entries[video.name]
        if entry.status != ledger.OK:
            continue
        path = target(folder.resolve(), video.class_name, video.video_id, layout)
        rows: tuple[PlannedRow, ...] = (PlannedRow(0, entry.decoded_frames, entry.jpeg_bytes),)
        if 0 < segment_frames < entry.decoded_frames:
            rows = segment_rows(frame_bytes(path, layout, entry.decoded_frames), segment_frames)
        videos.append(PackableVideo(video, entry.fps, rows, StoredFrames(path, layout, entry.decoded_frames)))
    if not videos:
        raise InputError(f"{folder} has no video that was extracted: see {folder / ledger.FILE_NAME}")
    sha256 = files.sha256(folder / ledger.FILE_NAME)
    return Source(listed, written["settings"], sha256, tuple(videos), absent(listed, entries))


def absent(listed: Catalog, entries: dict[str, ledger.Entry]) -> tuple[Absent, ...]:
    """The listed videos that gave no frames."""
    return tuple(
        Absent(video.class_name, video.video_id, video.flags, entries[video.name].status)
        for video in listed.videos
        if entries[video.name].status != ledger.OK
    )
