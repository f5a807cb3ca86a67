"""What shapes a video's frames: one type, recorded in catalog.json, manifest.json and every checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from preprocess.common.errors import InputError
from preprocess.decoding.backends import Backend, check_name
from preprocess.frame_selection import Selection


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """How frames are selected, scaled and encoded. One frames folder has one.

    Raises:
        InputError: a value is out of range.
    """

    short_side: int = 240
    """Scale frames so that the shorter side has this many pixels (never enlarged). 240 as the paper; 128 is enough for
    training at 112 and twice as fast to read; 0 keeps the size."""
    quality: int = 90
    """JPEG quality, 1 to 100."""
    fps: float = 0.0
    """Keep this many frames a second, evenly; 0 keeps all, and so does a rate above the video's own."""
    max_frames: int = 0
    """Keep at most this many frames of a video; 0 keeps all."""
    keep_partial: bool = False
    """A video that breaks off keeps the frames before the break, instead of counting as failed; the ledger says so."""
    backend: Backend = "pyav"
    """What decodes: pyav, or ffmpeg, a program of this machine, for codecs that PyAV lacks."""

    def __post_init__(self) -> None:
        check_name(self.backend)
        if not 1 <= self.quality <= 100:
            raise InputError(f"--quality {self.quality} is not between 1 and 100")
        for name in ("short_side", "fps", "max_frames"):
            value = getattr(self, name)
            if value < 0 or not math.isfinite(value):
                raise InputError(f"--{name.replace('_', '-')} {value} is not a number of 0 or more")

    def selection(self, segment_s: tuple[float, float] | None = None) -> Selection:
        """Which frames of a video, or of a segment of it in seconds, are kept."""
        return Selection(self.fps, self.max_frames, segment_s)

    def stored_fps(self, source_fps: float) -> float:
        """Frames a second that are kept of a video of `source_fps`."""
        return min(source_fps, self.fps or source_fps)

    def __str__(self) -> str:
        side = f"short side {self.short_side}" if self.short_side else "full size"
        rate = f"{self.fps:g} frames a second" if self.fps else "all frames"
        most = f", {self.max_frames} at most" if self.max_frames else ""
        return f"{side}, quality {self.quality}, {rate}{most}"


def from_json(value: Mapping[str, Any]) -> FrameSettings:
    """The settings in a JSON object; keys of other things are passed over, absent ones take their defaults."""
    return FrameSettings(**{field.name: value[field.name] for field in fields(FrameSettings) if field.name in value})


def different(ours: FrameSettings, theirs: FrameSettings) -> str:
    """The first setting that differs, such as `short_side 128, not 240`; empty if none does."""
    one, other = asdict(ours), asdict(theirs)
    return next((f"{name} {one[name]}, not {other[name]}" for name in one if one[name] != other[name]), "")
