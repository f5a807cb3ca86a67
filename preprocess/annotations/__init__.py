"""Annotation readers by data-set name: each turns a root folder into a Catalog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from preprocess.annotations import folder, hmdb51, ucf101
from preprocess.catalog import Catalog
from preprocess.common.errors import InputError, nearest

READERS: dict[str, Callable[[Path], Catalog]] = {"ucf101": ucf101.read, "hmdb51": hmdb51.read, "folder": folder.read}


def read_catalog(dataset: str, root: Path) -> Catalog:
    """Read the lists of the data set at `root`.

    Raises:
        InputError: the name is unknown, a folder or list is missing, empty or contradicts itself.
    """
    if dataset not in READERS:
        raise InputError(f"--dataset {dataset} is not known{nearest(dataset, READERS)} The data sets: {', '.join(READERS)}")
    if not root.is_dir():
        raise InputError(f"{root} does not exist: put the data set there (video/ and split/ inside) or name it with --root")
    if not (root / "video").is_dir():
        raise InputError(f"{root} has no folder video/: the clips belong into {root / 'video'}/<Class>/")
    return READERS[dataset](root)
