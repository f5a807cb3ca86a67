"""Annotation readers by data-set name: each turns a root folder into a Catalog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from preprocess.annotations import (
    activitynet,
    folder,
    hmdb51,
    kenshohara_json,
    kinetics,
    kinetics700_moments,
    moments,
    official_counts,
    ucf101,
)
from preprocess.annotations.find_videos import PARTS, videos_folder
from preprocess.annotations.options import ReaderOptions
from preprocess.catalog import Catalog
from preprocess.common.errors import InputError, nearest
from preprocess.common.progress import say

READERS: dict[str, Callable[[Path, ReaderOptions], Catalog]] = {
    "ucf101": lambda root, _: ucf101.read(root),
    "hmdb51": lambda root, options: hmdb51.read(root, options.hmdb51_release),
    "activitynet": lambda root, _: activitynet.read(root),
    "kinetics400": lambda root, _: kinetics.read(root, "kinetics400"),
    "kinetics600": lambda root, _: kinetics.read(root, "kinetics600"),
    "kinetics700": lambda root, _: kinetics.read(root, "kinetics700"),
    "moments": lambda root, _: moments.read(root),
    "kinetics700_moments": lambda root, _: kinetics700_moments.read(root),
    "json": lambda root, _: kenshohara_json.read(root),
    "folder": folder.read,
}


def read_catalog(dataset: str, root: Path, options: ReaderOptions | None = None) -> Catalog:
    """Read the lists of the data set at `root`; one line is printed where they differ from the official counts.

    Raises:
        InputError: the name is unknown, a folder or list is missing, empty or contradicts itself, an option does not fit.
    """
    if dataset not in READERS:
        raise InputError(f"--dataset {dataset} is not known{nearest(dataset, READERS)} The data sets: {', '.join(READERS)}")
    options = options or ReaderOptions()
    options.check(dataset)
    if not root.is_dir():
        raise InputError(f"{root} does not exist: put the data set there (video/ and split/ inside) or name it with --root")
    for part in [root / name for name in PARTS[dataset]] if dataset in PARTS else [root]:
        if not (part / "video").is_dir():
            raise InputError(f"{part} has no folder video/: the clips belong into {part / 'video'}/<Class>/")
    catalog = READERS[dataset](root, options)
    if warning := official_counts.warning(catalog):
        say(warning)
    return catalog


__all__ = ["READERS", "ReaderOptions", "read_catalog", "videos_folder"]
