"""The choice of a decoding backend. Only the one that decodes is imported: FFmpeg's libraries take a while to load."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from preprocess.common.errors import InputError, nearest
from preprocess.decoding.types import OpenVideo
from preprocess.frame_selection import Selection

Backend = Literal["pyav", "ffmpeg"]  # each is a module <name>_backend in this folder


def open_video(path: Path, short_side: int, selection: Selection, backend: Backend = "pyav") -> OpenVideo:
    """Open `path`; the pictures of the selected frames come upright, in `target_size`.

    Frames keep decode order: in packed-B-frame AVIs `pts` runs backwards. Audio is not read.

    Raises:
        DecodeError: the file cannot be opened or has no video; later, from the iterator, decoding broke off.
        InputError: the backend is not there.
    """
    opened: OpenVideo = module(backend).open_video(path, short_side, selection)
    return opened


def check_backend(backend: Backend) -> None:
    """Check that this machine has what a backend needs.

    Raises:
        InputError: it has not.
    """
    if backend == "ffmpeg":
        module(backend).find_ffmpeg()


def check_name(name: str) -> None:
    """Check the name of a backend.

    Raises:
        InputError: there is no such backend.
    """
    known = get_args(Backend)
    if name not in known:
        raise InputError(f"--backend {name} is not known{nearest(name, known)} The backends: {', '.join(known)}")


def module(backend: Backend) -> Any:
    """The module of a backend."""
    return import_module(f"preprocess.decoding.{backend}_backend")
