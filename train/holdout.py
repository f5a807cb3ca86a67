"""Which training videos are held out for choosing the best checkpoint: whole groups, every class alike. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

NUMBERED = r"(.+?)(?:_\d+)+"
SOURCES = {
    "ucf101": r"(v_.+_g\d+)_c\d+",
    "activitynet": NUMBERED,  # the segment's number
    "kinetics400": NUMBERED,  # the clip's seconds
    "kinetics600": NUMBERED,
    "kinetics700": NUMBERED,
    "kinetics700_moments": NUMBERED,
    "moments": NUMBERED,
}
HMDB51_FLAGS = r"[a-z]+_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+"


@dataclass(frozen=True)
class Candidate:
    """A training video: its name (Class/video_id), label, and the group that it must not be parted from."""

    name: str
    label: int
    group: str


def group_of(dataset: str, class_name: str, video_id: str) -> str:
    """The film that a video was cut from, as far as its name tells; a name that does not is a group of its own.

    UCF101: `v_<class>_g<group>`. HMDB51: what stands before class and flags, over all classes. ActivityNet, Kinetics and
    Moments in Time: what stands before the numbers at the end. Other data sets: each video by itself.
    """
    pattern = SOURCES.get(dataset)
    if dataset == "hmdb51":
        pattern = rf"(.+)_{re.escape(class_name)}_{HMDB51_FLAGS}"
    match = re.fullmatch(pattern, video_id, re.IGNORECASE) if pattern else None
    return match[1].lower() if match else f"{class_name}/{video_id}"


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
