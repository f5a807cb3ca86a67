"""What every decoder gives: a video's header, its pictures, and the error where decoding ends early."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
# A picture of full range: RGB (height, width, 3), or the planes Y, Cb, Cr of ITU-R BT.601 at 4:2:0, which are what a JPEG
# holds (JFIF 1.02): chroma planes have half the size, rounded up
Picture = Plane | tuple[Plane, Plane, Plane]


class DecodeError(Exception):
    """A video that cannot be decoded to its end; the message has the decoder's own words and where it stopped."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What the header says. `declared_frames` is 0 when the container does not say; it often lies, both ways."""

    codec: str
    width: int
    height: int
    fps: float
    declared_frames: int


@dataclass
class Progress:
    """How far a decoder has come: frames that came out, and whether it got to the end of the video."""

    frames: int = 0
    at_end: bool = False


@dataclass(frozen=True)
class OpenVideo:
    """A video opened for decoding: its header, its pictures to iterate over once, and how far that has come."""

    info: VideoInfo
    pictures: Iterator[Picture] = field(repr=False)
    progress: Progress


def target_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) scaled so that the shorter side is `short_side`; never enlarged; 0 keeps the size."""
    if short_side == 0 or min(width, height) <= short_side:
        return width, height
    scale = short_side / min(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def error_text(error: Exception) -> str:
    """A decoder's error in its own words, on one line."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())
