"""HMDB51: split/<class>_test_split<N>.txt, with lines `name.avi F ` where F is 0 unused, 1 train, 2 test.

Classes are numbered in sorted order. Names hold `( ) ! # [ ] & + ; ~ @`: they are compared whole, never as patterns.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from preprocess.annotations.tables import read_table
from preprocess.catalog import UNUSED, Catalog, Video, of_lists
from preprocess.common.errors import InputError
from preprocess.groups import hmdb51_film

SPLIT_FILE = re.compile(r"(.+)_test_split([1-9])\.txt")


def read(root: Path, release: str) -> Catalog:
    """Read the lists under `root/split`; every class must have the same splits, numbered from 1. `release` is recorded."""
    folder = root / "split"
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if match := SPLIT_FILE.fullmatch(path.name):
            found.setdefault(match[1], {})[int(match[2])] = path
    if not found:
        raise InputError(f"{folder} has no <class>_test_split1.txt: unpack HMDB51's test_train_splits there")
    class_names = tuple(sorted(found))
    split_count = max(max(paths) for paths in found.values())
    videos = []
    for label, class_name in enumerate(class_names):
        flags: dict[str, dict[int, int]] = {}  # video -> {split's index: flag}
        for index in range(split_count):
            path = found[class_name].get(index + 1, folder / f"{class_name}_test_split{index + 1}.txt")
            table = read_table(path, ["video", "flag"])
            for line, (video, flag) in enumerate(table.itertuples(index=False), start=1):
                if flag not in ("0", "1", "2"):
                    raise InputError(f"{path}, line {line}: flag {flag!r} of {video} should be 0, 1 or 2")
                before = flags.setdefault(video, {}).setdefault(index, int(flag))
                if before != int(flag):
                    raise InputError(f"{path}, line {line}: {video} has flag {before} above: delete one of the lines")
        videos += [
            Video(
                class_name=class_name,
                video_id=PurePosixPath(video).stem,
                label=label,
                path=f"{class_name}/{video}",
                flags=tuple(by_split.get(index, UNUSED) for index in range(split_count)),
                group=hmdb51_film(class_name, PurePosixPath(video).stem) or "",
            )
            for video, by_split in sorted(flags.items())
        ]
    return Catalog(
        dataset="hmdb51",
        class_names=class_names,
        splits=tuple(str(i + 1) for i in range(split_count)),
        videos=tuple(videos),
        split_source=of_lists([path for paths in found.values() for path in paths.values()]),
        release=release,
    )
