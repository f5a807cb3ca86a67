"""Your own videos: video/<Class>/<any name>. The classes are the folders; one split is drawn, a fifth for testing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from preprocess.annotations.find_videos import list_videos, stem
from preprocess.annotations.options import GROUP, ReaderOptions
from preprocess.catalog import TEST, TRAIN, Catalog, SplitSource, Video
from preprocess.common.errors import InputError
from preprocess.common.progress import say

TEST_SHARE = 0.2


def read(root: Path, options: ReaderOptions) -> Catalog:
    """Every video in a folder of `root/video`, split by the options: a pure function of the names, the seed and the pattern.

    `random` draws a fifth of each class, at least one, which puts films of one scene on both sides, so that the accuracy
    flatters. `group` keeps together the clips of a group, which is what the pattern's parentheses hold of a file's name
    without its suffix, in all classes; a name that the pattern does not fit is a group of its own. Either way a class of one
    clip, or one group, only trains.
    """
    paths = [path for path in list_videos(root / "video") if path.count("/") == 1]
    members: dict[str, list[str]] = {}
    for path in paths:
        members.setdefault(path.split("/")[0], []).append(path)
    if not members:
        raise InputError(f"{root / 'video'} has no <Class>/<video> in it")
    class_names = tuple(sorted(members))
    by_class = [members[name] for name in class_names]
    groups: dict[str, str] = {}
    if options.split_by == GROUP:
        groups = groups_of(paths, options.group_pattern)
        tests = draw_groups(by_class, groups, options.split_seed)
        source = SplitSource(drawn="group", seed=options.split_seed, group_pattern=options.group_pattern)
    else:
        tests = draw_clips(by_class, options.split_seed)
        source = SplitSource(drawn="random", seed=options.split_seed)
    if untested := [name for name in class_names if not tests & set(members[name])]:
        say(f"{len(untested)} classes have nothing to test, having too few clips or groups: {', '.join(untested)}")
    videos = [
        Video(
            class_name=class_name,
            video_id=stem(path),
            label=label,
            path=path,
            flags=(TEST if path in tests else TRAIN,),
            group=groups.get(path, ""),
        )
        for label, class_name in enumerate(class_names)
        for path in by_class[label]
    ]
    return Catalog(dataset="folder", class_names=class_names, splits=("1",), videos=tuple(videos), split_source=source)


def wanted_tests(clips: int) -> int:
    """How many of a class's clips to test with: a fifth, at least one, but not all."""
    return min(max(round(clips * TEST_SHARE), 1), clips - 1)


def draw_clips(by_class: Sequence[Sequence[str]], seed: int) -> set[str]:
    """The paths to test with, drawn clip by clip. `by_class` has the paths of each class, sorted."""
    tests = set()
    for label, members in enumerate(by_class):
        order = np.random.default_rng([seed, label]).permutation(len(members))
        tests |= {path for rank, path in zip(order, members, strict=True) if rank < wanted_tests(len(members))}
    return tests


def groups_of(paths: Sequence[str], pattern: str) -> dict[str, str]:
    """Path -> group. Prints how many names the pattern does not fit."""
    matches = {path: re.fullmatch(pattern, stem(path)) for path in paths}
    if others := sum(not (found and found[1]) for found in matches.values()):
        say(f"--group-pattern {pattern} does not fit {others} of {len(paths)} names, which are groups of their own")
    return {path: found[1] if found and found[1] else f"{path} alone" for path, found in matches.items()}


def draw_groups(by_class: Sequence[Sequence[str]], groups: Mapping[str, str], seed: int) -> set[str]:
    """The paths to test with, drawn group by group; no group is on both sides.

    Groups are gone through in random order and taken where no class then tests more than it should. A class that this
    leaves without a test gets the smallest of its groups that leaves every class something to train on.
    """
    clips = {group: Counter[int]() for group in sorted(set(groups.values()))}  # group -> class -> clips
    for label, members in enumerate(by_class):
        for path in members:
            clips[groups[path]][label] += 1
    names = list(clips)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    tested = Counter[int]()
    taken = set()
    for group in order:
        if all(tested[label] + n <= wanted_tests(len(by_class[label])) for label, n in clips[group].items()):
            taken.add(group)
            tested.update(clips[group])
    for label in range(len(by_class)):
        possible = [
            group
            for group in order
            if label in clips[group] and all(tested[k] + n < len(by_class[k]) for k, n in clips[group].items())
        ]
        if not tested[label] and possible:
            group = min(possible, key=lambda name: clips[name].total())
            taken.add(group)
            tested.update(clips[group])
    return {path for path, group in groups.items() if group in taken}
