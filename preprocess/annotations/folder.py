"""Your own videos: video/<Class>/<any name>. The classes are the folders; one split is drawn, a fifth for testing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preprocess.annotations.on_disk import list_videos
from preprocess.catalog import TEST, TRAIN, Catalog, Video
from preprocess.common.errors import InputError

TEST_SHARE = 0.2
SEED = 0


def read(root: Path) -> Catalog:
    """Every video under `root/video`, split at random class by class: a pure function of the names.

    At least one video a class trains and, where a class has two or more, at least one tests. A random split puts films of
    one scene on both sides, so that its accuracy flatters; use lists in UCF101's form to keep scenes together.
    """
    paths = list_videos(root / "video")
    class_names = tuple(sorted({path.split("/")[0] for path in paths}))
    if not class_names:
        raise InputError(f"{root / 'video'} has no <Class>/<video> in it")
    videos = []
    for label, class_name in enumerate(class_names):
        members = sorted(path for path in paths if path.split("/")[0] == class_name)
        order = np.random.default_rng([SEED, label]).permutation(len(members))
        n_test = min(max(round(len(members) * TEST_SHARE), 1), len(members) - 1)
        for rank, path in zip(order, members, strict=True):
            videos.append(Video(class_name, Path(path).stem, label, path, (TEST if rank < n_test else TRAIN,)))
    return Catalog("folder", class_names, ("1",), tuple(videos))
