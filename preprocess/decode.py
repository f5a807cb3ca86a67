"""One video file to RGB frames, in decode order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


class DecodeError(Exception):
    """A video that cannot be decoded to its end; the message has the decoder's own words and where it stopped."""


@dataclass
class VideoInfo:
    """What the header says. `declared_frames` is 0 when the container does not say; it often lies, both ways."""

    codec: str
    width: int
    height: int
    fps: float
    declared_frames: int


@dataclass
class OpenVideo:
    """A video opened for decoding: its header, and its frames to iterate over once."""

    info: VideoInfo
    frames: Iterator[NDArray[np.uint8]] = field(repr=False)


def target_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) scaled so that the shorter side is `short_side`; never enlarged; 0 keeps the size."""
    if short_side == 0 or min(width, height) <= short_side:
        return width, height
    scale = short_side / min(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def open_video(path: Path, short_side: int) -> OpenVideo:
    """Open `path`; its frames come as full-range RGB (height, width, 3) uint8 of `target_size`, upright.

    Frames keep decode order: in packed-B-frame AVIs `pts` runs backwards. Audio is not read.

    Raises:
        DecodeError: the file is cut short, cannot be opened or has no video; later, from the iterator, decoding broke off.
    """
    missing_bytes = avi_missing_bytes(path)
    if missing_bytes:
        raise DecodeError(f"the file is cut short: its header counts on {missing_bytes} bytes more")
    try:
        # UCF101 and HMDB51 have metadata that is not UTF-8
        container = av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise DecodeError(f"cannot be opened: {words(error)}") from None
    if not container.streams.video:
        container.close()
        raise DecodeError("has no video stream")
    stream = container.streams.video[0]
    codec = stream.codec_context
    info = VideoInfo(codec.name, codec.width, codec.height, float(stream.average_rate or 0), stream.frames)
    return OpenVideo(info, rgb_frames(container, stream, short_side))


def rgb_frames(
    container: av.container.InputContainer, stream: av.VideoStream, short_side: int
) -> Iterator[NDArray[np.uint8]]:
    """Decode, convert and turn each frame; closes the container when done or dropped."""
    stream.codec_context.thread_count = 1  # a process a core decodes faster than threads within a clip
    count = 0
    with container:
        try:
            for frame in container.decode(stream):
                width, height = target_size(frame.width, frame.height, short_side)
                # swscale takes the limited range of a video to the full range that a JPEG has
                frame_HWC = np.asarray(frame.to_ndarray(format="rgb24", width=width, height=height), np.uint8)
                quarter_turns = round(frame.rotation / 90) % 4  # rotation counts degrees counter-clockwise
                yield np.ascontiguousarray(np.rot90(frame_HWC, quarter_turns)) if quarter_turns else frame_HWC
                count += 1
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DecodeError(f"decoding broke off after {count} frames: {words(error)}") from None
        if count == 0:
            raise DecodeError("has no frame that decodes")


def avi_missing_bytes(path: Path) -> int:
    """How many bytes a RIFF file lacks of the size in its header; 0 for whole files and for other formats.

    A cut AVI decodes to its cut without any error, so this is the way to see it. RIFF: bytes 0-3 "RIFF", 4-7 the size of
    what follows, little-endian (Multimedia Programming Interface and Data Specifications 1.0, 1991). Some writers leave
    the size 0 or all ones when they are not closed; those say nothing.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    size = int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or size in (0, 0xFFFFFFFF):
        return 0
    return max(size + 8 - path.stat().st_size, 0)


def words(error: Exception) -> str:
    """A decoder's error in its own words, on one line, without the path it repeats."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())
