"""Which video files there are, and which of them the lists name.

A listed video is looked for in this order; exact spelling comes before another, in every step:

1. Under its path; then under the one path equal to it ignoring case.
2. Only where copies of a data set differ (`ELSEWHERE`), at any depth and with any video suffix:
   by its name (Kinetics `<youtube id>_<start>_<end>`, ActivityNet `v_<id>`), then by the bare id; Moments and `json` by
   class folder and name.

A file that one listed path is found at is not offered to another in a later step. Ignoring case counts only where it leaves
one spelling: YouTube's ids differ by case. Of several copies of one name the one in a folder named as the list's comes
first, then the one with the list's suffix, then the first in sorted order; the others stay unlisted.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.catalog import Catalog, Video

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".3gp")
PARTS = {"kinetics700_moments": ("kinetics700", "moments")}
"""Data sets made of others, which lie in folders of their names."""


@dataclass(frozen=True)
class Matched:
    """The catalog against the disk: `found` videos with their paths relative to the folder of videos, as the disk spells
    them; `missing` ones that the lists name and the disk lacks; `unlisted` paths that no list names."""

    found: dict[Video, str]
    missing: tuple[Video, ...]
    unlisted: tuple[str, ...]


def videos_folder(dataset: str, root: Path) -> Path:
    """The folder that a catalog's paths are relative to: `root/video`, or `root` for a data set made of others."""
    return root if dataset in PARTS else root / "video"


def list_videos(folder: Path) -> list[str]:
    """The files at any depth under `folder` that have a video's suffix, as relative paths, sorted. Hidden files and folders
    are left out, linked folders followed."""
    return sorted(walk(folder, "", ()))


def walk(folder: Path, inside: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """The video files under `folder`, each behind `inside`. `above` are the folders on the way here (device, inode): a link
    back to one of them is not followed."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as items:
        for item in items:
            if item.name.startswith("."):
                continue
            if item.is_dir():
                yield from walk(Path(item.path), f"{inside}{item.name}/", (*above, here))
            elif posixpath.splitext(item.name)[1].lower() in VIDEO_SUFFIXES and item.is_file():
                yield inside + item.name


def match(catalog: Catalog, folder: Path) -> Matched:
    """Find each listed video under `folder`, by the rule above. Every listed video is found or missing, and every video file
    on disk is that of a found one or unlisted."""
    paths = list_videos(folder)
    located = locate(catalog.dataset, list(dict.fromkeys(video.path for video in catalog.videos)), paths)
    return Matched(
        {video: located[video.path] for video in catalog.videos if video.path in located},
        tuple(video for video in catalog.videos if video.path not in located),
        tuple(sorted(set(paths) - set(located.values()))),
    )


def whole(path: str) -> str:
    """The path itself."""
    return path


def stem(path: str) -> str:
    """The file's name without its suffix."""
    return posixpath.splitext(posixpath.basename(path))[0]


def folder_and_stem(path: str) -> str:
    """The name without its suffix behind that of the folder it is in."""
    return f"{posixpath.basename(posixpath.dirname(path))}/{stem(path)}"


def without_times(path: str) -> str:
    """Kinetics: the YouTube id in `<id>_<start>_<end>`."""
    return re.sub(r"_\d{6,}_\d{6,}$", "", stem(path))


def without_v(path: str) -> str:
    """ActivityNet: the id in `v_<id>`."""
    return stem(path).removeprefix("v_")


Step = tuple[Callable[[str], str], Callable[[str], str]]
"""What to look for of a listed path, and what it must equal of a path on disk."""

KINETICS: tuple[Step, ...] = ((stem, stem), (without_times, stem))
ELSEWHERE: Mapping[str, tuple[Step, ...]] = {
    "activitynet": ((stem, stem), (without_v, stem)),
    "kinetics400": KINETICS,
    "kinetics600": KINETICS,
    "kinetics700": KINETICS,
    "moments": ((folder_and_stem, folder_and_stem),),
    "json": ((folder_and_stem, folder_and_stem),),
}


def locate(dataset: str, listed: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """Listed path -> path on disk, for those that exist. Pure; `listed` and `paths` hold each path once."""
    located: dict[str, str] = {}
    if dataset in PARTS:
        for part in PARTS[dataset]:
            before = f"{part}/video/"
            inner = locate(
                part,
                [path.removeprefix(before) for path in listed if path.startswith(before)],
                [path.removeprefix(before) for path in paths if path.startswith(before)],
            )
            located |= {before + path: before + found for path, found in inner.items()}
        return located
    for wanted, offered in ((whole, whole), *ELSEWHERE.get(dataset, ())):
        taken = set(located.values())
        located |= locate_by(
            wanted,
            offered,
            [path for path in listed if path not in located],
            [path for path in paths if path not in taken],
        )
    return located


def locate_by(
    wanted: Callable[[str], str], offered: Callable[[str], str], listed: Sequence[str], paths: Sequence[str]
) -> dict[str, str]:
    """One step of the rule: the listed paths whose `wanted` is the `offered` of a path on disk, exactly or ignoring case."""
    by_name = grouped(offered, paths)
    names = {path: wanted(path) for path in listed}
    located = {path: best(by_name[name], path) for path, name in names.items() if name in by_name}
    taken = {names[path] for path in located}
    folded = grouped(str.casefold, (name for name in by_name if name not in taken))
    for path, name in names.items():
        spellings = folded.get(name.casefold(), [])
        if path not in located and len(spellings) == 1:
            located[path] = best(by_name[spellings[0]], path)
    return located


def grouped(name_of: Callable[[str], str], paths: Iterable[str]) -> dict[str, list[str]]:
    """The paths by their name, in their order."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(name_of(path), []).append(path)
    return groups


def best(copies: Sequence[str], listed: str) -> str:
    """Of the files that a listed path may mean, the one to take."""
    folder, suffix = posixpath.basename(posixpath.dirname(listed)), posixpath.splitext(listed)[1]

    def unlikeness(path: str) -> tuple[bool, bool, str]:
        return (posixpath.basename(posixpath.dirname(path)) != folder, posixpath.splitext(path)[1] != suffix, path)

    return min(copies, key=unlikeness)
