"""Kinetics-400, -600 and -700: split/train.csv and split/val.csv (or validate.csv), as published.

The columns are label, youtube_id, time_start, time_end, split and in older lists is_cc (arXiv:1705.06950, arXiv:1808.01340,
arXiv:1907.06987; the ReadMe of each release). Classes are numbered in sorted order. The test list, whose labels were long
held back, is not read: its videos count as unlisted.

A clip is looked for as `<label>/<youtube_id>_<start>_<end>.mp4`, times in whole seconds of six digits, as ActivityNet's
crawler writes it, then as `<youtube_id>.mp4`: this name is that of releases trimmed before they were renamed, so that such a
file is taken whole, never cut to time_start (no two clips of a release are of one video). Folders and suffix may be others
(preprocess/annotations/find_videos.py).
"""

from __future__ import annotations

from pathlib import Path

from preprocess.annotations.tables import read_csv
from preprocess.catalog import TEST, TRAIN, Catalog, Video, of_lists
from preprocess.common.errors import InputError
from preprocess.common.progress import say

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
TRAIN_LIST = "train.csv"
TEST_LISTS = ("val.csv", "validate.csv")


def read(root: Path, dataset: str) -> Catalog:
    """Read the lists under `root/split`. One of the two is enough, to evaluate without the training videos for instance.

    A line that repeats an earlier one of its list counts once; how many do is printed.
    """
    clips: dict[tuple[str, str], int] = {}  # (label, video id) -> flag, in listed order
    youtube_ids: dict[str, str] = {}
    found = lists(root / "split")
    for path, flag in found:
        repeated = 0
        for line, (label, youtube_id, start, end, split) in read_csv(path, COLUMNS, header=True):
            if not label or not youtube_id:
                raise InputError(f"{path}, line {line}: label and youtube_id should not be empty")
            if (split.startswith("train") and flag != TRAIN) or (split.startswith("val") and flag != TEST):
                raise InputError(f"{path}, line {line}: its column split says {split}: was the list renamed?")
            times = [seconds(path, line, text) for text in (start, end)]
            clip = (label, f"{youtube_id}_{times[0]:06d}_{times[1]:06d}")
            youtube_ids[clip[1]] = youtube_id
            if clip not in clips:
                clips[clip] = flag
            elif clips[clip] == flag:
                repeated += 1
            else:
                raise InputError(
                    f"{path}, line {line}: {clip[1]} of {label} is in the train list too: delete one of the two"
                )
        if repeated:
            say(f"{path}: {repeated} lines repeat an earlier one and count once")
    class_names = tuple(sorted({label for label, _ in clips}))
    labels = {name: label for label, name in enumerate(class_names)}
    videos = [
        Video(
            class_name=label,
            video_id=video_id,
            label=labels[label],
            path=f"{label}/{video_id}.mp4",
            flags=(flag,),
            group=youtube_ids[video_id],
        )
        for (label, video_id), flag in clips.items()
    ]
    return Catalog(
        dataset=dataset,
        class_names=class_names,
        splits=("1",),
        videos=tuple(sorted(videos, key=lambda v: (v.label, v.video_id))),
        split_source=of_lists([path for path, _ in found]),
    )


def lists(folder: Path) -> list[tuple[Path, int]]:
    """The lists that exist, each with the flag that it gives.

    Raises:
        InputError: there is none, or two of one kind.
    """
    train = folder / TRAIN_LIST
    tests = [folder / name for name in TEST_LISTS if (folder / name).is_file()]
    if len(tests) > 1:
        raise InputError(f"{folder} holds both {' and '.join(TEST_LISTS)}: keep the one that is meant")
    if not train.is_file() and not tests:
        raise InputError(
            f"{folder} has neither {TRAIN_LIST} nor {' or '.join(TEST_LISTS)}: put Kinetics' official lists there"
        )
    if not train.is_file():
        say(f"{folder} has no {TRAIN_LIST}: there will be nothing to train on")
    if not tests:
        say(f"{folder} has no {' or '.join(TEST_LISTS)}: there will be nothing to test on")
    return ([(train, TRAIN)] if train.is_file() else []) + [(path, TEST) for path in tests]


def seconds(path: Path, line: int, text: str) -> int:
    """A time of the list, in whole seconds; `417` and `417.0` are the same."""
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or fraction.strip("0"):
        raise InputError(f"{path}, line {line}: time {text!r} should be a whole number of seconds")
    return int(whole)
