"""Where the JPEGs of a video to pack come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from preprocess.frame_store import read_frames


class Jpegs(Protocol):
    """The frames of one video, each a JPEG file's bytes."""

    def read(self) -> list[bytes]:
        """All frames, in order. Raises InputError when they are not what the plan was made for."""


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
