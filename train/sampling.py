"""Which frames of a video make a clip: pure index arithmetic, 0-based."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def dense_clip(frame_count: int, length: int, stride: int, u: float) -> Indices:
    """`length` frames, `stride` apart, from a start drawn uniformly by `u` in [0, 1): the training sample.

    Every start that fits is equally likely, the last one included (the authors' code leaves that one out,
    arXiv:2004.04968). A video too short is looped.
    """
    check(frame_count, length, stride)
    starts = max(frame_count - (length - 1) * stride, 1)
    return (int(u * starts) + np.arange(length) * stride) % frame_count


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
