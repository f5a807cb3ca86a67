"""ActivityNet 1.3: the one JSON file in split/ (Caba Heilbron et al., CVPR 2015; activity-net.org).

The official file is `{"database": {youtube id: {"subset": "training|validation|testing", "annotations": [{"label": ...,
"segment": [start, end]}]}}}`, times in seconds. A derived one in use, `{"v_<id>": {"annotations": ...}}`, has no subsets:
they are read from video_info_new.csv next to it, columns video and subset.

Videos are untrimmed: every segment is a sample of its own, `<youtube id>_<number>`, numbered from 1 in the file's order, so
that many samples share one file, `v_<id>.mp4`, or `<id>` with any video suffix (see find_videos.py). Labels are numbered
as the file first names them. Training videos train, validation videos test.

The videos of the testing subset have no labels; they are left out and counted, as are others without a segment. Segments are
handed on as they are listed, also those that are empty, run past the end of their video or backwards: extraction says in the
ledger what came of each. One that begins before 0 begins at 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preprocess.annotations.tables import read_csv
from preprocess.catalog import TEST, TRAIN, Catalog, Video, of_lists
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.common.progress import say

FLAGS = {"training": TRAIN, "validation": TEST}
UNLABELLED = "testing"
SUBSETS_FILE = "video_info_new.csv"


def read(root: Path) -> Catalog:
    """Read the list under `root/split`."""
    path = list_file(root / "split")
    labels: dict[str, int] = {}
    videos = []
    testing = without = 0
    for youtube_id, subset, segments in entries(path):
        if subset == UNLABELLED:
            testing += 1
            continue
        if subset not in FLAGS:
            raise InputError(f"{path}, {youtube_id}: subset {subset!r} should be training, validation or testing")
        without += not segments
        for number, annotation in enumerate(segments, start=1):
            label_name, segment_s = labelled_segment(path, f"{youtube_id}, annotation {number}", annotation)
            label = labels.setdefault(label_name, len(labels))
            video_id = f"{youtube_id}_{number}"
            videos.append(
                Video(
                    class_name=label_name,
                    video_id=video_id,
                    label=label,
                    path=f"v_{youtube_id}.mp4",
                    flags=(FLAGS[subset],),
                    group=youtube_id,
                    segment_s=segment_s,
                )
            )
    if testing:
        say(f"{path}: {testing} videos of the testing subset have no labels and are left out")
    if without:
        say(f"{path}: {without} videos of the other subsets have no segment and are left out")
    subsets = path.with_name(SUBSETS_FILE)
    return Catalog(
        dataset="activitynet",
        class_names=tuple(labels),
        splits=("1",),
        videos=tuple(videos),
        split_source=of_lists([path, subsets] if subsets.is_file() else [path]),
    )


def list_file(folder: Path) -> Path:
    """The one JSON file there.

    Raises:
        InputError: there is none, or more.
    """
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if len(paths) != 1:
        found = ", ".join(path.name for path in paths) or "none"
        raise InputError(f"{folder} should hold one .json file, ActivityNet's activity_net.v1-3.min.json, and holds {found}")
    return paths[0]


def entries(path: Path) -> Iterator[tuple[str, Any, list[Any]]]:
    """Each video of either form: its YouTube id, its subset, its annotations."""
    value = files.read_json(path)
    official = isinstance(value, dict) and "database" in value
    database = value["database"] if official else value
    if not isinstance(database, dict) or not database:
        raise InputError(f'{path} is not ActivityNet\'s: it should be {{"database": {{youtube id: {{...}}}}}}')
    subsets = {} if official else read_subsets(path)
    for name, entry in database.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("annotations"), list):
            raise InputError(f"{path}, {name}: no list of annotations: is this ActivityNet's file?")
        if official:
            yield name, entry.get("subset"), entry["annotations"]
        elif name in subsets:
            yield name.removeprefix("v_"), subsets[name], entry["annotations"]
        else:
            raise InputError(
                f"{path}, {name}: {SUBSETS_FILE} next to it does not have this video, so that its subset is unknown"
            )


def read_subsets(path: Path) -> dict[str, str]:
    """For the derived list at `path`, which has none: the subset of each video, `v_<id>`."""
    table = path.with_name(SUBSETS_FILE)
    if not table.is_file():
        raise InputError(f'{path} has no "database" and no subsets: put the official file there, or {table} next to it')
    return {video: subset for _, (video, subset) in read_csv(table, ("video", "subset"), header=True)}


def labelled_segment(path: Path, where: str, annotation: Any) -> tuple[str, tuple[float, float]]:
    """An annotation's label, and its start and end in seconds."""
    label = annotation.get("label") if isinstance(annotation, dict) else None
    segment = annotation.get("segment") if isinstance(annotation, dict) else None
    if not isinstance(label, str) or not label:
        raise InputError(f"{path}, {where}: no label")
    if (
        not isinstance(segment, list)
        or len(segment) != 2
        or not all(isinstance(t, int | float) and not isinstance(t, bool) and math.isfinite(t) for t in segment)
    ):
        raise InputError(f"{path}, {where}: segment {segment!r} should be [start, end] in seconds")
    return label, (max(float(segment[0]), 0.0), float(segment[1]))
