"""Kinetics-700 and Moments in Time as one data set of 1039 classes, on which arXiv:2004.04968 trained the networks "KM".

`root/kinetics700` and `root/moments` each hold video/ and split/ as the data set does alone. Kinetics' classes come first,
then those of Moments. Where Kinetics has a name already, ignoring case, the class of Moments is called `<name> (Moments)`,
so that each class has a folder of frames of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from preprocess.annotations import kinetics, moments
from preprocess.catalog import Catalog, SplitSource


def read(root: Path) -> Catalog:
    """Read the lists of both; paths are relative to `root`."""
    first, second = kinetics.read(root / "kinetics700", "kinetics700"), moments.read(root / "moments")
    class_names = first.class_names + merged_names(first.class_names, second.class_names)
    videos = [replace(video, path=f"kinetics700/video/{video.path}") for video in first.videos]
    for video in second.videos:
        label = len(first.class_names) + video.label
        videos.append(replace(video, class_name=class_names[label], label=label, path=f"moments/video/{video.path}"))
    hashes = "".join(one.split_source.lists_sha256 for one in (first, second))
    return Catalog(
        dataset="kinetics700_moments",
        class_names=class_names,
        splits=first.splits,
        videos=tuple(videos),
        split_source=SplitSource(drawn="lists", lists_sha256=hashlib.sha256(hashes.encode()).hexdigest()),
    )


def merged_names(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """What the classes of Moments are called next to those of Kinetics."""
    taken = {name.casefold() for name in first}
    return tuple(f"{name} (Moments)" if name.casefold() in taken else name for name in second)
