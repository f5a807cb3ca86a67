"""Which frames of a video make a clip: pure index arithmetic, 0-based.

Clips of 4 frames of a video of 12, where every draw from [0, 1) is 0.7:

    frame                     0  1  2  3  4  5  6  7  8  9 10 11
    dense_clip, stride 1      .  .  .  .  .  .  x  x  x  x  .  .   one of 9 starts, 0 to 8
    dense_clip, stride 2      .  .  .  .  x  .  x  .  x  .  x  .   one of 6 starts, 0 to 5
    centre_clip, stride 2     .  .  x  .  x  .  x  .  x  .  .  .   always the same
    uniform_clip, stride 1    .  .  x  .  .  x  .  .  x  .  .  x   one frame of each of 4 equal parts
    windows, stride 1         a  a  a  a  b  b  b  b  c  c  c  c   three windows
    windows, stride 2         a  .  a  .  a  .  a  .  b  .  b  .   two; b is looped: 8 10 8 10
    spread_windows, stride 1  a  a  a  a  .  .  .  .  b  b  b  b   `count` 2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Sampling = Literal["dense", "centre", "uniform"]


def dense_clip(frame_count: int, length: int, stride: int, rng: np.random.Generator) -> Indices:
    """`length` frames, `stride` apart, from a start drawn uniformly.

    Every start that fits is equally likely, the last one included (the authors' code leaves that one out,
    arXiv:2004.04968). A video too short is looped.
    """
    check(frame_count, length, stride)
    starts = max(frame_count - (length - 1) * stride, 1)
    return (int(rng.random() * starts) + np.arange(length) * stride) % frame_count


def centre_clip(frame_count: int, length: int, stride: int, rng: np.random.Generator) -> Indices:
    """The `length` frames, `stride` apart, in the middle of the video, always the same; a video too short is looped."""
    check(frame_count, length, stride)
    starts = max(frame_count - (length - 1) * stride, 1)
    return ((starts - 1) // 2 + np.arange(length) * stride) % frame_count


def uniform_clip(frame_count: int, length: int, stride: int, rng: np.random.Generator) -> Indices:
    """One frame drawn uniformly from each of `length` equal segments of the whole video; `stride` has no meaning here.

    Temporal segment networks (arXiv:1608.00859, section 3.1). In a video shorter than `length` frames come several times.
    """
    check(frame_count, length, stride)
    drawn = ((np.arange(length) + rng.random(length)) * frame_count / length).astype(np.int64)
    return np.minimum(drawn, frame_count - 1)  # the largest draw may round up to the end


SAMPLERS: dict[Sampling, Callable[[int, int, int, np.random.Generator], Indices]] = {
    "dense": dense_clip,
    "centre": centre_clip,
    "uniform": uniform_clip,
}
"""Samplers to train on, by the name in a recipe: (frame_count, length, stride, rng) to frame indices."""


def windows(frame_count: int, length: int, stride: int) -> NDArray[np.int64]:
    """The windows of a whole video without overlap: (windows, length), frames `stride` apart.

    The paper's test protocol (arXiv:2004.04968, section 4): windows follow each other from frame 0, and the last, where the
    video ends within it, is filled by looping the frames that it has.
    """
    check(frame_count, length, stride)
    span = length * stride
    rows = []
    for start in range(0, frame_count, span):
        available = len(range(start, min(start + span, frame_count), stride))
        rows.append(start + np.arange(length) % available * stride)
    return np.stack(rows)


def spread_windows(frame_count: int, length: int, stride: int, count: int) -> NDArray[np.int64]:
    """`count` windows spread evenly over a video, from its first start to its last: (count, length), frames `stride` apart.

    The test clips of non-local networks (arXiv:1711.07971, section 5). One window is the middle one; windows overlap where
    the video is short, and one shorter than a window is looped.
    """
    check(frame_count, length, stride)
    last_start = max(frame_count - (length - 1) * stride, 1) - 1
    starts = np.linspace(0, last_start, count).round().astype(np.int64) if count > 1 else np.array([last_start // 2])
    return (starts[:, None] + np.arange(length) * stride) % frame_count


@dataclass(frozen=True)
class Views:
    """What of a video is scored: `clips` windows spread over it, 0 for all windows without overlap, each in `crops` squares
    of the frame (1, the centre, or 3, along the longer side), and with `flip` each mirrored too."""

    clips: int = 0
    crops: int = 1
    flip: bool = False

    def windows(self, frame_count: int, length: int, stride: int) -> NDArray[np.int64]:
        """The frames of the windows: (windows, length)."""
        if self.clips:
            return spread_windows(frame_count, length, stride, self.clips)
        return windows(frame_count, length, stride)

    def count(self, frame_count: int, length: int, stride: int) -> int:
        """How many clips the network sees of a video."""
        return len(self.windows(frame_count, length, stride)) * self.crops * (2 if self.flip else 1)


def check(frame_count: int, length: int, stride: int) -> None:
    """Check three counts.

    Raises:
        ValueError: one is not 1 or more.
    """
    if min(frame_count, length, stride) < 1:
        raise ValueError(f"frame_count {frame_count}, length {length} and stride {stride} must be 1 or more")
