"""One video to one folder of frames, which appears by rename, whole or not at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import simplejpeg

from preprocess import ledger
from preprocess.catalog import Video
from preprocess.common import files
from preprocess.decode import DecodeError, open_video

FRAME_NAME = "image_{:05d}.jpg"  # 1-based, as the field's tools expect


@dataclass(frozen=True)
class Task:
    """One video to extract: its `path` below `videos` as the disk spells it, where its frames go, how, and what the ledger
    says of it from before."""

    video: Video
    path: str
    videos: Path
    frames: Path
    short_side: int
    quality: int
    before: ledger.Entry | None

    @property
    def source(self) -> Path:
        """The video file."""
        return self.videos / self.path

    @property
    def target(self) -> Path:
        """The folder of its frames."""
        return self.frames / self.video.class_name / self.video.video_id


def extract(task: Task) -> ledger.Entry:
    """Decode the video, write its JPEGs (4:2:0, `quality`), publish the folder; returns its line for the ledger.

    A video whose line, source and folder are unchanged is left alone. A video that does not decode to its end leaves no
    folder and becomes a `failed` line with the reason; it is not raised, so that one bad file never stops the others.
    """
    entry = ledger.Entry(
        task.video.class_name,
        task.video.video_id,
        task.path,
        ledger.FAILED,
        short_side=task.short_side,
        quality=task.quality,
    )
    try:
        entry = replace(entry, source_bytes=task.source.stat().st_size, source_sha256=files.sha256(task.source))
    except OSError as error:
        return replace(entry, reason=f"cannot be read: {error.strerror}")
    before = task.before
    unchanged = before is not None and (before.path, before.source_sha256) == (entry.path, entry.source_sha256)
    if before is not None and before.status == ledger.OK and unchanged and task.target.is_dir():
        return before
    partial = task.target.with_name(f".{task.video.video_id}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        entry = write_frames(task, partial, entry)
        shutil.rmtree(task.target, ignore_errors=True)
        os.rename(partial, task.target)
    except DecodeError as error:
        shutil.rmtree(task.target, ignore_errors=True)
        return replace(entry, reason=str(error))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return entry


def write_frames(task: Task, folder: Path, entry: ledger.Entry) -> ledger.Entry:
    """Write every frame of the video into `folder`; returns the entry, ok, with what was found."""
    video = open_video(task.source, task.short_side)
    count = jpeg_bytes = height = width = 0
    for count, frame_HWC in enumerate(video.frames, start=1):
        jpeg = simplejpeg.encode_jpeg(frame_HWC, quality=task.quality, colorspace="RGB", colorsubsampling="420")
        (folder / FRAME_NAME.format(count)).write_bytes(jpeg)
        jpeg_bytes += len(jpeg)
        height, width = frame_HWC.shape[:2]
    info = video.info
    return replace(
        entry,
        status=ledger.OK,
        declared_frames=info.declared_frames,
        decoded_frames=count,
        fps=round(info.fps, 6),
        codec=info.codec,
        width=info.width,
        height=info.height,
        frame_width=width,
        frame_height=height,
        jpeg_bytes=jpeg_bytes,
    )
