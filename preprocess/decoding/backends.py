"""The choice of a decoding backend."""

from __future__ import annotations

from pathlib import Path

from preprocess.common.errors import InputError, nearest
from preprocess.decoding import ffmpeg_backend, pyav_backend
from preprocess.decoding.types import OpenVideo
from preprocess.frame_selection import Selection

BACKENDS = {"pyav": pyav_backend.open_video, "ffmpeg": ffmpeg_backend.open_video}


def open_video(path: Path, short_side: int, selection: Selection, backend: str = "pyav") -> OpenVideo:
    """Open `path`; the pictures of the selected frames come upright, in `target_size`.

    Frames keep decode order: in packed-B-frame AVIs `pts` runs backwards. Audio is not read.

    Raises:
        DecodeError: the file cannot be opened or has no video; later, from the iterator, decoding broke off.
        InputError: the backend is not there.
    """
    return BACKENDS[backend](path, short_side, selection)


def check_backend(name: str) -> None:
    """Raise InputError unless there is such a backend and this machine has what it needs."""
    if name not in BACKENDS:
        raise InputError(f"--backend {name} is not known{nearest(name, BACKENDS)} The backends: {', '.join(BACKENDS)}")
    if name == "ffmpeg":
        ffmpeg_backend.find_ffmpeg()
