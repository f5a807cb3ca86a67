"""Which film, or source video, a video was cut from, as far as its name tells. Videos of one group look alike.

The readers of the data sets record a video's group in the catalog. `group_by_name` serves what was written before they did.
"""

from __future__ import annotations

import re

UCF101 = re.compile(r"(v_.+_g\d+)_c\d+", re.IGNORECASE)
"""UCF101: `v_<class>_g<group>_c<clip>`."""

HMDB51_FLAGS = r"[a-z]+_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+"
"""HMDB51: body part, camera motion, number of people, viewpoint, quality and the clip's number in its film."""

KINETICS = re.compile(r"(.+)_\d{6}_\d{6}")
"""Kinetics as ActivityNet's crawler names it: `<youtube id>_<start>_<end>`."""

NUMBERED = re.compile(r"(.+?)(?:_\d+)+")
"""A name that ends in numbers: ActivityNet's segments, Kinetics' times, clips of Moments in Time."""
NUMBERED_DATASETS = ("activitynet", "kinetics400", "kinetics600", "kinetics700", "kinetics700_moments", "moments")


def ucf101_group(video_id: str) -> str | None:
    """`v_<class>_g<group>`, in lower case; None where the name has another form."""
    match = UCF101.fullmatch(video_id)
    return match[1].lower() if match else None


def hmdb51_film(class_name: str, video_id: str) -> str | None:
    """The film's name, in lower case: what stands before the class and the flags; None where the name has another form."""
    match = re.fullmatch(rf"(.+)_{re.escape(class_name)}_{HMDB51_FLAGS}", video_id, re.IGNORECASE)
    return match[1].lower() if match else None


def numbered_source(video_id: str) -> str | None:
    """What stands before the numbers at the end of the name; None where there are none."""
    match = NUMBERED.fullmatch(video_id)
    return match[1] if match else None


def recognised_group(class_name: str, video_id: str) -> str | None:
    """The group of a name in the form of UCF101, HMDB51 or Kinetics, for lists that do not say their data set."""
    kinetics = KINETICS.fullmatch(video_id)
    return ucf101_group(video_id) or hmdb51_film(class_name, video_id) or (kinetics[1] if kinetics else None)


def group_by_name(dataset: str, class_name: str, video_id: str) -> str:
    """The group that a name tells, for catalogs and records of schema 2, which do not record it.

    A name that tells none is a group of its own, `Class/video_id`.
    """
    found = None
    if dataset == "ucf101":
        found = ucf101_group(video_id)
    elif dataset == "hmdb51":
        found = hmdb51_film(class_name, video_id)
    elif dataset in NUMBERED_DATASETS:
        found = (numbered_source(video_id) or "").lower() or None
    return found or f"{class_name}/{video_id}"
