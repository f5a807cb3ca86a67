"""What the official lists hold, to notice lists that are not whole. Subsets are in use: this warns, nothing more."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path

from preprocess.catalog import TEST, TRAIN, Catalog

UCF101_CLASSES, UCF101_VIDEOS = 101, 13320
UCF101_SPLITS = ((9537, 3783), (9586, 3734), (9624, 3696))
"""Train and test videos of splits 1 to 3: the lists of "UCF101TrainTestSplits-RecognitionTask"."""

HMDB51_CLASSES, HMDB51_VIDEOS, HMDB51_PER_CLASS = 51, 6766, (70, 30)
"""The web page counts 6849 videos, the split files 6766; each split trains on 70 and tests 30 of a class."""

NAMED_CLASSES = {"kinetics400": 400, "kinetics600": 600, "kinetics700": 700, "moments": 339, "kinetics700_moments": 1039}
"""Kinetics has its class count in its name; the Moments in Time of arXiv:2004.04968 has 339, with Kinetics-700 1039."""


def warning(catalog: Catalog) -> str:
    """One line on how lists with the official number of classes differ from the official ones, or an empty text."""
    count = len(catalog.class_names)
    if catalog.dataset in NAMED_CLASSES and count != NAMED_CLASSES[catalog.dataset]:
        return (
            f"warning: these {catalog.dataset} lists have {count} classes, not {NAMED_CLASSES[catalog.dataset]}: their "
            "labels are not those of networks that were published for it"
        )
    differences = []
    if catalog.dataset == "ucf101" and count == UCF101_CLASSES:
        differences = videos_differ(catalog, UCF101_VIDEOS) + ucf101_differences(catalog)
    if catalog.dataset == "hmdb51" and count == HMDB51_CLASSES:
        differences = videos_differ(catalog, HMDB51_VIDEOS) + hmdb51_differences(catalog)
    if not differences:
        return ""
    return f"warning: these {catalog.dataset} lists are not the official ones: {', '.join(differences)}"


def videos_differ(catalog: Catalog, official: int) -> list[str]:
    """What to say of the number of listed videos."""
    return [f"{len(catalog.videos)} videos (officially {official})"] if len(catalog.videos) != official else []


def ucf101_differences(catalog: Catalog) -> list[str]:
    """What to say of each split's size."""
    differences = []
    for index, (split, official) in enumerate(zip(catalog.splits, UCF101_SPLITS, strict=False)):
        flags = Counter(video.flags[index] for video in catalog.videos)
        if (flags[TRAIN], flags[TEST]) != official:
            differences.append(
                f"split {split} has {flags[TRAIN]} train and {flags[TEST]} test (officially {official[0]} and {official[1]})"
            )
    return differences


def hmdb51_differences(catalog: Catalog) -> list[str]:
    """What to say of each split's classes."""
    differences = []
    train, test = HMDB51_PER_CLASS
    for index, split in enumerate(catalog.splits):
        flags = Counter((video.label, video.flags[index]) for video in catalog.videos)
        others = sum((flags[label, TRAIN], flags[label, TEST]) != (train, test) for label in range(HMDB51_CLASSES))
        if others:
            differences.append(f"split {split} has {others} classes without {train} train and {test} test (officially none)")
    return differences


MOMENTS = ("moments", "kinetics700_moments")
"""Whose official lists we have not seen whole: whether they keep source videos apart is not known."""


def shared_officially(dataset: str, split: str, group: str) -> bool:
    """Whether a group on both sides of a split may be the official lists' own.

    HMDB51's keep the clips of a film apart within a class, not between classes: 218 films are on both sides of a split.
    """
    if dataset in MOMENTS:
        return True
    return dataset in ("hmdb51", "json") and split in shared_films().get(group, "")


@lru_cache(maxsize=1)
def shared_films() -> dict[str, str]:
    """Film -> the splits, such as "13", that both train and test with it in HMDB51's official lists."""
    lines = Path(__file__).with_name("hmdb51_shared_films.txt").read_text(encoding="utf-8").splitlines()
    return {film: splits for splits, film in (line.split(" ", 1) for line in lines[1:])}
