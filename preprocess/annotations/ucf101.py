"""UCF101: split/classInd.txt and trainlist01..03, testlist01..03.

A train line is `Class/name.avi label` (1-based), a test line `Class/name.avi`. Labels come from classInd.txt through the
folder's name, ignoring case: the file's own name spells some classes otherwise (HandstandPushups/v_HandStandPushups_*).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from preprocess.annotations.tables import read_table
from preprocess.catalog import TEST, TRAIN, UNUSED, Catalog, Video, of_lists
from preprocess.common.errors import InputError
from preprocess.groups import ucf101_group


def read(root: Path) -> Catalog:
    """Read the lists under `root/split`: as many splits, counted from 01, as have both files."""
    folder = root / "split"
    class_names = read_classes(folder / "classInd.txt")
    labels = {name.casefold(): label for label, name in enumerate(class_names)}
    splits: list[str] = []
    flags: dict[str, dict[int, int]] = {}  # path -> {split's index: flag}, in listed order
    while not splits or (folder / f"trainlist{len(splits) + 1:02d}.txt").exists():
        index = len(splits)
        for flag, kind in ((TRAIN, "trainlist"), (TEST, "testlist")):
            path = folder / f"{kind}{index + 1:02d}.txt"
            for line, (video, label) in enumerate(read_table(path, ["video", "label"]).itertuples(index=False), start=1):
                check_line(path, line, video, label, labels)
                if flags.setdefault(video, {}).setdefault(index, flag) != flag:
                    raise InputError(f"{path}, line {line}: {video} is in the train list of the same split")
        splits.append(str(index + 1))
    videos = []
    for video, by_split in flags.items():
        path_in_video = PurePosixPath(video)
        label_index = labels[path_in_video.parent.name.casefold()]
        videos.append(
            Video(
                class_name=class_names[label_index],
                video_id=path_in_video.stem,
                label=label_index,
                path=video,
                flags=tuple(by_split.get(i, UNUSED) for i in range(len(splits))),
                group=ucf101_group(path_in_video.stem) or "",
            )
        )
    lists = [folder / f"{kind}{int(split):02d}.txt" for split in splits for kind in ("trainlist", "testlist")]
    return Catalog(
        dataset="ucf101",
        class_names=class_names,
        splits=tuple(splits),
        videos=tuple(sorted(videos, key=lambda v: (v.label, v.video_id))),
        split_source=of_lists([folder / "classInd.txt", *lists]),
    )


def read_classes(path: Path) -> tuple[str, ...]:
    """The class names in label order, from lines `1 ApplyEyeMakeup`."""
    table = read_table(path, ["number", "name"])
    if table["number"].tolist() != [str(i) for i in range(1, len(table) + 1)] or (table["name"] == "").any():
        raise InputError(f"{path} should number the classes 1, 2, 3 ... with a name each")
    return tuple(table["name"])


def check_line(path: Path, line: int, video: str, label: str, labels: dict[str, int]) -> None:
    """Check that a line's folder is a class, and its label, where it has one, that of the class.

    Raises:
        InputError: it is not.
    """
    class_name, _, name = video.rpartition("/")
    if not name or class_name.casefold() not in labels:
        raise InputError(f"{path}, line {line}: {video!r} is not Class/name.avi with a class of classInd.txt")
    if label and label != str(labels[class_name.casefold()] + 1):
        raise InputError(f"{path}, line {line}: label {label} is not the number of {class_name} in classInd.txt")
