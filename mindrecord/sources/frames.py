"""The frames folder that preprocess/extract_frames.py wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mindrecord.plan import PlannedRow, segment_rows
from mindrecord.sources.base import PackableVideo, Source, absent
from preprocess import catalog, ledger
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.frame_store import frame_bytes, read_frames, target


@dataclass(frozen=True)
class StoredFrames:
    """The `count` frames of a video in a frames folder: the folder or zip that they are in."""

    path: Path
    layout: str
    count: int

    def read(self) -> list[bytes]:
        """See `Jpegs`. Raises InputError naming the first frame that is not there."""
        return read_frames(self.path, self.layout, self.count)

    def __str__(self) -> str:
        return str(self.path)


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
