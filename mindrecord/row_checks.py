"""What the rows of a pack must be: each by itself, those of a shard, and all together. Pure: rows in, findings out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mindrecord.manifest import Manifest, Shard, count_classes
from preprocess.annotations.official_counts import shared_officially
from preprocess.catalog import TEST, TRAIN, VideoKey
from preprocess.groups import group_by_name

PACK_AGAIN = "delete the records folder and pack it again with mindrecord/build.py"
OTHER_SPLIT = {
    "lists": "extract with the data set's official lists and pack again",
    "folders": "move the images and pack again",
    "random": "extract with --split-by group and pack again",
    "group": "extract again and pack again",
    "unknown": "extract with the official lists, or with --split-by group, and pack again",
}
"""What to do about a group on both sides, by how the split was drawn."""


@dataclass(frozen=True, kw_only=True)
class FoundVideo(VideoKey):
    """A video of a shard, as its first row has it; the flags are the shard's. `group` is empty where the row has none."""

    shard: str
    label: int
    group: str
    flags: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FoundShard:
    """What a shard holds, and what is wrong with it, a line each."""

    rows: int
    frames: int
    videos: tuple[FoundVideo, ...]
    problems: tuple[str, ...]


def check_shard(
    shard: Shard, rows: Iterable[Mapping[str, Any]], class_names: Sequence[str], segment_frames: int
) -> FoundShard:
    """Check the rows of one shard, in order; `segment_frames` is the length of a segment, 0 where videos are whole."""
    count = frames = missing = 0
    videos: list[FoundVideo] = []
    problems = []
    for row in rows:
        count += 1
        held = len(row["offsets"]) - 1
        first, total = int(row["first_frame"]), int(row["video_frames"])
        video = FoundVideo(
            class_name=str(row["class_name"]),
            video_id=str(row["video_id"]),
            shard=shard.file,
            label=int(row["label"]),
            group=str(row.get("group", "")),
            flags=shard.flags,
        )
        wrong = list(row_problems(row, video, class_names))
        if first == 0 or not videos or videos[-1].name != video.name:
            if missing:
                problems.append(f"{videos[-1].name} ends {missing} frames early")
            videos.append(video)
            missing = total
        if first != total - missing or held != min(segment_frames or total, missing):
            wrong.append(f"has frames {first} to {first + held - 1} of {total}, not the next of its video")
        missing = total - first - held
        frames += held
        problems += [f"{video.name}, row {count}, {text}" for text in wrong]
    if missing:
        problems.append(f"{videos[-1].name} ends {missing} frames early")
    for what, found, written in (
        ("rows", count, shard.rows),
        ("videos", len(videos), shard.videos),
        ("frames", frames, shard.frames),
    ):
        if found != written:
            problems.append(f"has {found} {what}, the manifest says {written}")
    return FoundShard(
        rows=count,
        frames=frames,
        videos=tuple(videos),
        problems=tuple(f"{shard.file}: {text}: {PACK_AGAIN}" for text in problems),
    )


def row_problems(row: Mapping[str, Any], video: FoundVideo, class_names: Sequence[str]) -> Iterator[str]:
    """What is wrong with a row by itself."""
    if not 0 <= video.label < len(class_names):
        yield f"has label {video.label}, there are {len(class_names)} classes"
    elif class_names[video.label] != video.class_name:
        yield f"has label {video.label}, which is class {class_names[video.label]}"
    if tuple(row["flags"]) != video.flags:
        yield f"has flags {', '.join(map(str, row['flags']))}, its shard has {', '.join(map(str, video.flags))}"
    offsets = np.asarray(row["offsets"])
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(row["jpegs"]) or (np.diff(offsets) <= 0).any():
        yield f"has offsets that do not cut its {len(row['jpegs'])} bytes into frames"
    else:
        yield from frame_problems(row["jpegs"], offsets)


def frame_problems(jpegs: bytes, offsets: NDArray[np.int64]) -> Iterator[str]:
    """What is wrong with a row's frames: the first that does not decode to its end, and the first of another size."""
    sizes: dict[str, int] = {}
    failed: list[str] = []
    for number, (start, end) in enumerate(pairwise(offsets)):
        try:  # grey is quicker, and as strict: colours are read, only not computed
            grey_HWC = simplejpeg.decode_jpeg(jpegs[start:end], colorspace="GRAY")
        except ValueError as error:
            failed.append(f"frame {number} of the row ({error})")
        else:
            sizes.setdefault(f"{grey_HWC.shape[1]}x{grey_HWC.shape[0]}", number)
    if failed:
        yield f"has {len(failed)} frames that do not decode, the first is {failed[0]}"
    if len(sizes) > 1:
        yield "has frames of " + " and ".join(f"{size} (frame {number} of the row)" for size, number in sizes.items())


def check_pack(packed: Manifest, videos: Iterable[FoundVideo]) -> list[str]:
    """What is wrong with the videos of all shards together: one twice, one absent and there, a group on both sides."""
    problems = []
    seen: dict[str, FoundVideo] = {}
    for video in videos:
        before = seen.setdefault(video.name, video)
        if before is not video:
            both = sides(packed.splits, [before, video])
            problems.append(
                f"{video.shard}: {video.name} is in {before.shard} too"
                + "".join(f", and trains and tests in split {split}" for split in both)
                + f": {PACK_AGAIN}"
            )
    for absent in packed.absent:
        there = seen.get(f"{absent.class_name}/{absent.video_id}")
        if there:
            problems.append(f"{there.shard}: {there.name} is there, the manifest has it as {absent.status}: {PACK_AGAIN}")
    return problems


def sides(splits: Sequence[str], videos: Sequence[FoundVideo]) -> dict[str, tuple[FoundVideo, FoundVideo]]:
    """The splits that train with one of the videos and test with another: split -> the first such two."""
    found = {}
    for index, split in enumerate(splits):
        pair = [next((video for video in videos if video.flags[index] == flag), None) for flag in (TRAIN, TEST)]
        if pair[0] and pair[1]:
            found[split] = pair[0], pair[1]
    return found


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A group of which one video trains and another tests in `split`; `official` where the official lists may have it so."""

    split: str
    group: str
    train: FoundVideo
    test: FoundVideo
    official: bool


def find_leaks(packed: Manifest, videos: Iterable[FoundVideo]) -> list[Leak]:
    """The groups that are on both sides of a split: clips of one group are cut from one film, and look alike."""
    groups: dict[str, list[FoundVideo]] = {}
    for video in videos:
        groups.setdefault(video.group or group_by_name(packed.dataset, video.class_name, video.video_id), []).append(video)
    return [
        Leak(split=split, group=group, train=train, test=test, official=shared_officially(packed.dataset, split, group))
        for group, members in groups.items()
        for split, (train, test) in sides(packed.splits, members).items()
    ]


def leak_problems(packed: Manifest, leaks: Iterable[Leak]) -> list[str]:
    """A line for each leak that the official lists do not have."""
    return [
        f"{leak.test.shard}: in split {leak.split} {leak.test.name} tests and {leak.train.name} in {leak.train.shard} "
        f"trains, both of group {leak.group}: {OTHER_SPLIT[packed.split_source.drawn]}"
        for leak in leaks
        if not leak.official
    ]


def leak_notes(leaks: Sequence[Leak]) -> list[str]:
    """A line for each split with leaks that are the official lists' own."""
    counts = Counter(leak.split for leak in leaks if leak.official)
    first = {leak.split: leak for leak in reversed(leaks) if leak.official}
    return [
        f"split {split}: {count} groups are on both sides, as the lists have it; the first is {first[split].group}, of "
        f"which {first[split].train.name} trains and {first[split].test.name} tests"
        for split, count in sorted(counts.items())
    ]


def check_counts(packed: Manifest, videos: Iterable[FoundVideo]) -> list[str]:
    """Where the videos a class and split are not as many as the manifest says."""
    classes = len(packed.class_names)
    known = ((video.label, video.flags) for video in videos if 0 <= video.label < classes)
    found = count_classes(known, classes, packed.splits)
    problems = []
    for split, sides_written in packed.class_videos.items():
        for side, counts in sides_written.items():
            for name, count, written in zip(packed.class_names, found[split][side], counts, strict=True):
                if count != written:
                    problems.append(
                        f"split {split} has {count} {side} videos of {name}, the manifest says {written}: {PACK_AGAIN}"
                    )
    return problems
