"""One video to its frames, which appear by rename, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from preprocess import frame_store, jpeg, ledger
from preprocess.catalog import Video
from preprocess.common import files
from preprocess.decoding.backends import open_video
from preprocess.decoding.riff import missing_bytes
from preprocess.decoding.types import DecodeError
from preprocess.frame_settings import FrameSettings


@dataclass(frozen=True, kw_only=True)
class Task:
    """One video to extract: its `path` below `videos` as the disk spells it, where its frames go, how, and what the ledger
    says of it from before."""

    video: Video
    path: str
    videos: Path
    frames: Path
    layout: str
    settings: FrameSettings
    before: ledger.Entry | None

    @property
    def source(self) -> Path:
        """The video file."""
        return self.videos / self.path

    @property
    def target(self) -> Path:
        """The folder or zip of its frames."""
        return frame_store.target(self.frames, self.video.class_name, self.video.video_id, self.layout)


def extract(task: Task) -> ledger.Entry:
    """Decode the video, write its JPEGs (4:2:0), publish them; returns the video's line for the ledger.

    A video whose line, source and frames are unchanged is left alone. A video that does not decode to its end becomes a
    `failed` line with the reason, without frames unless the settings keep them; it is not raised, so that one bad file
    never stops the others.
    """
    return decode_into(task, replacing_store(task), task.target.exists())


@contextlib.contextmanager
def replacing_store(task: Task) -> Iterator[frame_store.Writer]:
    """Where the video's frames go; those from before are deleted when it does not decode."""
    try:
        with frame_store.frame_writer(task.target, task.layout) as write:
            yield write
    except DecodeError:
        frame_store.remove(task.target)
        raise


def decode_into(task: Task, store: AbstractContextManager[frame_store.Writer], skip_if_unchanged: bool) -> ledger.Entry:
    """Decode into `store` and return the ledger entry. If the entry from before is unchanged and `skip_if_unchanged`, return
    that without decoding."""
    entry = failed(task, "")
    try:
        entry = replace(entry, source_bytes=task.source.stat().st_size, source_sha256=source_sha256(task.source))
        cut = missing_bytes(task.source)
    except OSError as error:
        return replace(entry, reason=f"cannot be read: {error.strerror}")
    before = task.before
    if before is not None and before.status == ledger.OK and same_source(before, entry) and skip_if_unchanged:
        return before
    partial_reason = f"the file is cut short: its header counts on {cut} bytes more" if cut else ""
    try:
        with store as write:
            if partial_reason and not task.settings.keep_partial:
                raise DecodeError(partial_reason)
            entry = write_frames(task, write, replace(entry, status=ledger.OK, reason=partial_reason))
    except DecodeError as error:
        return replace(entry, status=ledger.FAILED, reason=str(error))
    return entry


@lru_cache(maxsize=16)
def hashed(path: Path, _size: int, _mtime_ns: int) -> str:
    return files.sha256(path)


def source_sha256(path: Path) -> str:
    """The hash of a video file, which the segments of an untrimmed video share: read once a worker, not once a segment."""
    state = path.stat()
    return hashed(path, state.st_size, state.st_mtime_ns)


def failed(task: Task, reason: str) -> ledger.Entry:
    """The line of a video that gave no frames."""
    video = task.video
    return ledger.Entry(
        class_name=video.class_name,
        video_id=video.video_id,
        path=task.path,
        status=ledger.FAILED,
        reason=reason,
        segment_s=video.segment_s,
    )


def given_up(task: Task, reason: str) -> ledger.Entry:
    """The line of a video whose worker died or was ended. What the worker left is deleted, as are frames from before."""
    for path in (frame_store.partial_path(task.target), task.target):
        frame_store.remove(path)
    return failed(task, reason)


def same_source(one: ledger.Entry, other: ledger.Entry) -> bool:
    """Whether both lines are of the same part of the same bytes."""
    return (one.path, one.source_sha256, one.segment_s) == (other.path, other.source_sha256, other.segment_s)


def write_frames(task: Task, write: frame_store.Writer, entry: ledger.Entry) -> ledger.Entry:
    """Give every selected frame of the video to `write`; returns the entry with what was found.

    Raises:
        DecodeError: decoding breaks off, or no frame comes out. With `keep_partial`, a break after the first frame is
            written into the reason of the entry instead.
    """
    settings = task.settings
    selection = settings.selection(task.video.segment_s)
    video = open_video(task.source, settings.short_side, selection, settings.backend)
    count = jpeg_bytes = height = width = 0
    sha256 = hashlib.sha256()
    reason = entry.reason
    try:
        for count, picture in enumerate(video.pictures, start=1):
            data = jpeg.encode(picture, settings.quality)
            write(count, data)
            sha256.update(data)
            jpeg_bytes += len(data)
            height, width = jpeg.size(picture)
    except DecodeError as error:
        if count == 0 or not settings.keep_partial:
            raise
        reason = f"partial: {error}"
    if count == 0:
        where = f" between {selection.segment_s[0]} and {selection.segment_s[1]} s" if selection.segment_s else ""
        raise DecodeError(f"has no frame that decodes{where}")
    info = video.info
    return replace(
        entry,
        reason=reason,
        declared_frames=info.declared_frames,
        decoded_frames=video.progress.frames if video.progress.at_end else 0,
        stored_frames=count,
        fps=round(settings.stored_fps(info.fps), 6),
        codec=info.codec,
        width=info.width,
        height=info.height,
        frame_width=width,
        frame_height=height,
        jpeg_bytes=jpeg_bytes,
        jpeg_sha256=sha256.hexdigest(),
    )
