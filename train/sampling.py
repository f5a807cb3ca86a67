"""Which frames of a video make a clip: pure index arithmetic, 0-based."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


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


SAMPLERS = {"dense": dense_clip, "centre": centre_clip, "uniform": uniform_clip}


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


def check(frame_count: int, length: int, stride: int) -> None:
    """Raise ValueError unless all three are 1 or more."""
    if min(frame_count, length, stride) < 1:
        raise ValueError(f"frame_count {frame_count}, length {length} and stride {stride} must be 1 or more")
