"""Which video files there are, and which of them the lists name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from preprocess.catalog import Catalog, Video

VIDEO_SUFFIXES = frozenset((".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".3gp"))


@dataclass(frozen=True)
class Matched:
    """The catalog against the disk: `found` videos with their paths relative to `video/`, as the disk spells them;
    `missing` ones that the lists name and the disk lacks; `unlisted` paths that no list names."""

    found: dict[Video, str]
    missing: tuple[Video, ...]
    unlisted: tuple[str, ...]


def list_videos(folder: Path) -> list[str]:
    """The files `<Class>/<name>` under `folder` that have a video's suffix, sorted, hidden ones left out."""
    return sorted(
        f"{class_folder.name}/{path.name}"
        for class_folder in folder.iterdir()
        if class_folder.is_dir() and not class_folder.name.startswith(".")
        for path in class_folder.iterdir()
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def match(catalog: Catalog, folder: Path) -> Matched:
    """Find each listed video under `folder`: under its exact path, else under the one path equal to it ignoring case."""
    paths = list_videos(folder)
    exact = set(paths)
    folded: dict[str, list[str]] = {}
    for path in paths:
        folded.setdefault(path.casefold(), []).append(path)
    found: dict[Video, str] = {}
    missing = []
    for video in catalog.videos:
        alike = folded.get(video.path.casefold(), [])
        if video.path in exact:
            found[video] = video.path
        elif len(alike) == 1:
            found[video] = alike[0]
        else:
            missing.append(video)
    return Matched(found, tuple(missing), tuple(sorted(exact - set(found.values()))))
