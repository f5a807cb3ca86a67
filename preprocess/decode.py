"""One video file to pictures, in decode order: what all decoding backends share, and the choice of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.common.errors import InputError, nearest
from preprocess.selection import Selection

BACKENDS = ("pyav", "ffmpeg")
Plane = NDArray[np.uint8]
# A picture of full range: RGB (height, width, 3), or the planes Y, Cb, Cr of ITU-R BT.601 at 4:2:0, which are what a JPEG
# holds (JFIF 1.02): chroma planes have half the size, rounded up
Picture = Plane | tuple[Plane, Plane, Plane]


class DecodeError(Exception):
    """A video that cannot be decoded to its end; the message has the decoder's own words and where it stopped."""


@dataclass(frozen=True)
class VideoInfo:
    """What the header says. `declared_frames` is 0 when the container does not say; it often lies, both ways."""

    codec: str
    width: int
    height: int
    fps: float
    declared_frames: int


@dataclass(frozen=True)
class OpenVideo:
    """A video opened for decoding: its header, and its pictures to iterate over once."""

    info: VideoInfo
    pictures: Iterator[Picture] = field(repr=False)


def open_video(path: Path, short_side: int, selection: Selection, backend: str = "pyav") -> OpenVideo:
    """Open `path`; the pictures of the selected frames come upright, in `target_size`.

    Frames keep decode order: in packed-B-frame AVIs `pts` runs backwards. Audio is not read.

    Raises:
        DecodeError: the file cannot be opened or has no video; later, from the iterator, decoding broke off.
        InputError: the backend is not there.
    """
    decoder = import_module(f"preprocess.decode_{backend}")  # one of BACKENDS, which build on this module
    video: OpenVideo = decoder.open_video(path, short_side, selection)
    return video


def check_backend(name: str) -> None:
    """Raise InputError unless there is such a backend and this machine has what it needs."""
    if name not in BACKENDS:
        raise InputError(f"--backend {name} is not known{nearest(name, BACKENDS)} The backends: {', '.join(BACKENDS)}")
    if name == "ffmpeg":
        from preprocess.decode_ffmpeg import find_ffmpeg

        find_ffmpeg()


def target_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) scaled so that the shorter side is `short_side`; never enlarged; 0 keeps the size."""
    if short_side == 0 or min(width, height) <= short_side:
        return width, height
    scale = short_side / min(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def missing_bytes(path: Path) -> int:
    """How many bytes a RIFF file (AVI) lacks of the size in its header; 0 for whole files and for other formats.

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
    """A decoder's error in its own words, on one line."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())
