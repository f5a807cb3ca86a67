"""Frames of the videos that are worth a look: the most confident mistakes and the least confident hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import simplejpeg

from mindrecord.shard_reader import Video, read_frames
from preprocess.common.contact_sheet import spread, tile
from train.scoring import VideoScore

SHOWN, FRAMES, QUALITY = 8, 4, 80


@dataclass(frozen=True)
class Strip:
    """A video's place in the list of scores, and a few of its frames as small JPEGs."""

    video: int
    jpegs: tuple[bytes, ...]


@dataclass(frozen=True)
class Strips:
    """The most confident mistakes and the least confident hits, each list beginning with the extreme."""

    mistakes: tuple[Strip, ...] = ()
    hits: tuple[Strip, ...] = ()


def read(videos: Sequence[Video], scores: Sequence[VideoScore]) -> Strips:
    """The strips of `scores`, with frames read from the videos' records."""
    order = sorted(range(len(scores)), key=lambda i: -float(scores[i].score_K.max()))
    hit = [bool(score.score_K.argmax() == score.label) for score in scores]
    mistakes = [i for i in order if not hit[i]][:SHOWN]
    hits = [i for i in reversed(order) if hit[i]][:SHOWN]
    return Strips(*(tuple(Strip(i, small_frames(videos[i])) for i in chosen) for chosen in (mistakes, hits)))


def small_frames(video: Video) -> tuple[bytes, ...]:
    """A few frames, evenly spread, the height of a contact sheet's row."""
    frames = np.array(spread(range(video.frames), FRAMES), np.int64)
    return tuple(simplejpeg.encode_jpeg(tile(bytes(jpeg)), quality=QUALITY) for jpeg in read_frames(video, frames))
