"""Which training videos are held out for choosing the best checkpoint: whole groups, every class alike. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import numpy as np


class Candidate(Protocol):
    """A training video that may be held out."""

    @property
    def name(self) -> str:
        """`Class/video_id`."""

    @property
    def label(self) -> int:
        """Its class's number."""

    @property
    def group(self) -> str:
        """The film or source video that it was cut from, and is not parted from."""


def held_out(videos: Iterable[Candidate], fraction: float, seed: int) -> frozenset[str]:
    """The names of about `fraction` of the videos of each class, in whole groups, drawn by `seed`.

    Groups are taken in a drawn order, each one that brings the classes together closer to their share and leaves every class
    something to train on. A class whose groups are all too large for its share keeps all its videos in training.
    """
    members: dict[str, list[Candidate]] = {}
    for video in videos:
        members.setdefault(video.group, []).append(video)
    left = Counter(video.label for group in members.values() for video in group)
    missing = {label: count * fraction for label, count in left.items()}  # of a class's share
    names = sorted(members)
    taken: set[str] = set()
    for i in np.random.default_rng(seed).permutation(len(names)):
        counts = Counter(video.label for video in members[names[i]])
        closer = sum(abs(missing[label]) - abs(missing[label] - count) for label, count in counts.items())
        if closer > 1e-9 and all(count < left[label] for label, count in counts.items()):
            taken.update(video.name for video in members[names[i]])
            left.subtract(counts)
            for label, count in counts.items():
                missing[label] -= count
    return frozenset(taken)
