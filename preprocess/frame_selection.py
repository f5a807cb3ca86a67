"""Which of a video's frames are extracted: pure arithmetic on 0-based indices in decode order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count


@dataclass(frozen=True)
class Selection:
    """`fps`: frames a second to keep, 0 for all; `max_frames`: most frames to keep, 0 for all; `segment_s`: start and
    end."""

    fps: float = 0.0
    max_frames: int = 0
    segment_s: tuple[float, float] | None = None


def selected_indices(selection: Selection, source_fps: Fraction) -> Iterator[int]:
    """The indices to keep, rising; without end unless a segment or `max_frames` ends them.

    Time t is frame floor(t * fps), 0-based (ActivityNet's floor(t * fps) + 1, 1-based); both ends of a segment are kept.
    A lower rate keeps, for its k-th frame, the source frame at floor(k * source_fps / fps); a higher one keeps each once.

    Raises:
        ValueError: a segment or a rate is asked of a video that does not state its own rate.
    """
    if source_fps <= 0 and (selection.fps or selection.segment_s):
        raise ValueError("it does not state its frame rate, so that neither a segment nor --fps can be placed")
    # through their decimal text: 1.2 s at 25 a second is frame 30, though the float below 1.2 would give 29
    first: int = 0
    last: float = math.inf
    if selection.segment_s is not None:
        first, last = (math.floor(Fraction(str(t)) * source_fps) for t in selection.segment_s)
    if selection == Selection():
        yield from count()  # the usual case, without a fraction a frame
    thins = 0 < selection.fps < source_fps
    step = source_fps / Fraction(str(selection.fps)) if thins else Fraction(1)
    for k in count():
        index = first + math.floor(k * step)
        if index > last or (selection.max_frames and k >= selection.max_frames):
            return
        yield index
