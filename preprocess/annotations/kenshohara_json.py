"""The annotation JSON that the field exchanges, read and written: split/*.json, one file a split, in the order of names.

`{"labels": [...], "database": {video_id: {"subset": "training|validation|testing", "annotations": {"label": ..., "segment":
[1, n_frames + 1]}}}}`, as arXiv:2004.04968's code (kenshohara/3D-ResNets-PyTorch, util_scripts) makes and reads it. Labels
are numbered as `labels` lists them. Training videos train, validation videos test, testing videos and those that a file
leaves out are unused in its split. Videos lie at video/<Label>/<video_id>, any suffix (see find_videos.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from preprocess.catalog import TEST, TRAIN, UNUSED, Catalog, Video, of_lists
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.groups import recognised_group

FLAGS = {"training": TRAIN, "validation": TEST, "testing": UNUSED}
SUBSETS = {TRAIN: "training", TEST: "validation"}


def read(root: Path) -> Catalog:
    """Read every file under `root/split`. Testing videos that no file labels are left out, and counted in a line."""
    folder = root / "split"
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if not paths:
        raise InputError(f"{folder} has no .json file: put one there for each split")
    class_names = parts(paths[0])[0]
    numbers = {name: label for label, name in enumerate(class_names)}
    flags: dict[str, list[int]] = {}
    label_names: dict[str, str] = {}
    for index, path in enumerate(paths):
        labels, database = parts(path)
        if labels != class_names:
            raise InputError(
                f"{path} has other labels than {paths[0].name}, or another order: splits share one list of labels"
            )
        for video_id, entry in database.items():
            flag, label_name = flag_and_label(path, video_id, entry)
            flags.setdefault(video_id, [UNUSED] * len(paths))[index] = flag
            if label_name is None:
                continue
            if label_name not in numbers:
                raise InputError(f"{path}, {video_id}: label {label_name!r} is not among the labels")
            if label_names.setdefault(video_id, label_name) != label_name:
                raise InputError(f"{path}, {video_id}: labelled {label_name}, in an earlier file {label_names[video_id]}")
    if unlabelled := len(flags) - len(label_names):
        say(f"{folder}: {unlabelled} videos of the testing subset have no label and are left out")
    videos = [
        Video(
            class_name=name,
            video_id=video_id,
            label=numbers[name],
            path=f"{name}/{video_id}.mp4",
            flags=tuple(flags[video_id]),
            group=recognised_group(name, video_id) or "",
        )
        for video_id, name in label_names.items()
    ]
    return Catalog(
        dataset="json",
        class_names=class_names,
        splits=tuple(str(index + 1) for index in range(len(paths))),
        videos=tuple(sorted(videos, key=lambda v: (v.label, v.video_id))),
        split_source=of_lists(paths),
    )


def parts(path: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """A file's labels and its database."""
    value = files.read_json(path)
    labels = value.get("labels") if isinstance(value, dict) else None
    database = value.get("database") if isinstance(value, dict) else None
    if not isinstance(labels, list) or not isinstance(database, dict) or not all(isinstance(name, str) for name in labels):
        raise InputError(f'{path} should be {{"labels": [names], "database": {{video_id: ...}}}}')
    if len(set(labels)) != len(labels):
        raise InputError(f"{path} has a label twice: each needs a number of its own")
    return tuple(labels), database


def flag_and_label(path: Path, video_id: str, entry: Any) -> tuple[int, str | None]:
    """What a file says of a video; only a testing video may lack its label."""
    subset = entry.get("subset") if isinstance(entry, dict) else None
    if subset not in FLAGS:
        raise InputError(f"{path}, {video_id}: subset {subset!r} should be training, validation or testing")
    annotations = entry.get("annotations", {})
    if not isinstance(annotations, dict):
        raise InputError(
            f"{path}, {video_id}: annotations should be one label and segment; for lists of them, see --dataset activitynet"
        )
    label = annotations.get("label")
    if label is None and FLAGS[subset] == UNUSED:
        return UNUSED, None
    if not isinstance(label, str):
        raise InputError(f"{path}, {video_id}: no label")
    segment = annotations.get("segment", [1, 1])
    if not isinstance(segment, list) or len(segment) != 2 or segment[0] != 1:
        raise InputError(
            f"{path}, {video_id}: segment {segment!r} should be [1, frames + 1]: videos are taken whole, cut this one first"
        )
    return FLAGS[subset], label


def to_value(class_names: Iterable[str], videos: Iterable[Video], index: int, frames: Mapping[str, int]) -> dict[str, Any]:
    """The JSON of the split at `index`: the videos that are used in it, `frames` being their frame counts by name.

    Raises:
        InputError: two videos of different classes have one id, which the format cannot tell apart.
    """
    database: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for video in videos:
        if video.flags[index] == UNUSED:
            continue
        if owners.setdefault(video.video_id, video.name) != video.name:
            raise InputError(
                f"{owners[video.video_id]} and {video.name} have one id, and this JSON has one entry an id: rename a file"
            )
        database[video.video_id] = {
            "subset": SUBSETS[video.flags[index]],
            "annotations": {"label": video.class_name, "segment": [1, frames[video.name] + 1]},
        }
    return {"labels": list(class_names), "database": database}
