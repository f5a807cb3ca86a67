"""Moments in Time: split/moments_categories.txt, trainingSet.csv, validationSet.csv (arXiv:1801.03150; its README.txt).

The categories are lines `name,index`, the index from 0 being the label. A line of a list is `class/file.mp4,class,agree,
disagree`; its second value is the class, the last two are votes and not read. The release has a video at
`training/<class>/<file>` or `validation/<class>/<file>`; any folder of the class's name is searched for it
(preprocess/annotations/find_videos.py).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from preprocess.annotations.tables import read_csv
from preprocess.catalog import TEST, TRAIN, Catalog, Video, of_lists
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.groups import numbered_source

LISTS = (("trainingSet.csv", "training", TRAIN), ("validationSet.csv", "validation", TEST))


def read(root: Path) -> Catalog:
    """Read the lists under `root/split`; both have to be there. A line that repeats an earlier one counts once, which is
    said."""
    categories = root / "split" / "moments_categories.txt"
    class_names = read_categories(categories)
    labels = {name: label for label, name in enumerate(class_names)}
    videos: dict[Video, None] = {}  # an ordered set
    for name, folder, flag in LISTS:
        path = root / "split" / name
        listed_before = len(videos)
        rows = read_csv(path, ("file", "class", "agree", "disagree"), header=False)
        for line, (file, class_name, _, _) in rows:
            listed = PurePosixPath(file)
            if len(listed.parts) != 2 or ".." in listed.parts:
                raise InputError(f"{path}, line {line}: {file!r} is not class/file.mp4")
            if class_name not in labels:
                raise InputError(f"{path}, line {line}: class {class_name!r} is not in {categories.name}")
            video = Video(
                class_name=class_name,
                video_id=listed.stem,
                label=labels[class_name],
                path=f"{folder}/{file}",
                flags=(flag,),
                group=numbered_source(listed.stem) or "",
            )
            videos[video] = None
        if repeated := len(rows) - (len(videos) - listed_before):
            say(f"{path}: {repeated} lines repeat an earlier one and count once")
    return Catalog(
        dataset="moments",
        class_names=class_names,
        splits=("1",),
        videos=tuple(sorted(videos, key=lambda v: (v.label, v.video_id))),
        split_source=of_lists([categories, *(root / "split" / name for name, _, _ in LISTS)]),
    )


def read_categories(path: Path) -> tuple[str, ...]:
    """The class names in label order."""
    by_label: dict[int, str] = {}
    rows = read_csv(path, ("name", "index"), header=False)
    for line, (name, index) in rows:
        if not name or not (index.isascii() and index.isdigit()) or int(index) >= len(rows):
            raise InputError(f"{path}, line {line}: should be name,index with an index from 0 to {len(rows) - 1}")
        if int(index) in by_label or name in by_label.values():
            raise InputError(f"{path}, line {line}: {name},{index}: this name or index is on an earlier line")
        by_label[int(index)] = name
    return tuple(by_label[label] for label in range(len(rows)))
