"""The catalog: which videos a data set has, with their labels, groups and splits. What every annotation reader returns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from preprocess import frame_settings
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.frame_settings import FrameSettings
from preprocess.groups import group_by_name

UNUSED, TRAIN, TEST = 0, 1, 2
SCHEMA = 3
READABLE = (2, SCHEMA)
FILE_NAME = "catalog.json"
HASH_DIGITS = 12  # of a hash, where people read it


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoKey:
    """Which video: class name and id, unique in a data set. Catalog, ledger, rows, scores and messages share it."""

    class_name: str
    video_id: str

    @property
    def name(self) -> str:
        """`Class/video_id`."""
        return f"{self.class_name}/{self.video_id}"


@dataclass(frozen=True, kw_only=True)
class Video(VideoKey):
    """One listed video.

    Class name and id name its folder of frames; `label` is 0-based; `path` is relative to the data set's folder of videos;
    `flags` has one of UNUSED, TRAIN, TEST for each split. `group` names the film or source video that it was cut from; given
    as empty, the video becomes a group of its own. `segment_s` is the part of the file that is meant, from start to end in
    seconds, None the whole of it; several videos of a catalog may be segments of one `path`.
    """

    label: int
    path: str
    flags: tuple[int, ...]
    group: str = ""
    segment_s: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.name)


@dataclass(frozen=True, kw_only=True)
class SplitSource:
    """How the splits were drawn.

    `lists`: by the data set's lists, whose hash is `lists_sha256`. `folders`: by the folders that images lie in. `random`:
    clip by clip, and `group`: whole groups of `group_pattern`, both by `seed`. `unknown`: schema 2 does not say.
    """

    drawn: Literal["lists", "folders", "random", "group", "unknown"]
    lists_sha256: str = ""
    seed: int | None = None
    group_pattern: str = ""

    def __str__(self) -> str:
        return {
            "lists": f"by the data set's lists (SHA-256 {self.lists_sha256[:HASH_DIGITS]})",
            "folders": "by the folders train/ and val/",
            "random": f"at random, clip by clip (seed {self.seed})",
            "group": f"by group (seed {self.seed}, pattern {self.group_pattern})",
            "unknown": "in a way that is not recorded",
        }[self.drawn]


UNKNOWN = SplitSource(drawn="unknown")


def of_lists(paths: Sequence[Path]) -> SplitSource:
    """The source of splits that these list files say. The hash is of their bytes in the order of their names, with LF for
    CR LF: many copies of official lists differ in that alone."""
    hashed = hashlib.sha256()
    for path in sorted(paths):
        hashed.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return SplitSource(drawn="lists", lists_sha256=hashed.hexdigest())


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """A data set: its name, the class names in label order, the names of its splits, its videos in listed order, how the
    splits were drawn, and which release of the videos it is of where there are several of the same names."""

    dataset: str
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    videos: tuple[Video, ...]
    split_source: SplitSource
    release: str = ""

    def __post_init__(self) -> None:
        if not self.videos:
            raise InputError(f"the {self.dataset} lists name no video")
        for name in dict.fromkeys((*self.class_names, *(video.video_id for video in self.videos))):
            if not name or name.startswith(".") or "/" in name or "\0" in name:
                raise InputError(
                    f"the {self.dataset} lists have the name {name!r}, which no folder of frames can have: rename it there, "
                    "without / and without a dot in front"
                )
        names: dict[str, Video] = {}
        for video in self.videos:
            other = names.setdefault(video.name, video)
            if other is not video:
                raise InputError(f"two videos would share the frames folder {video.name}: {other.path} and {video.path}")

    def splits_sha256(self) -> str:
        """A hash of every video's label, flags and group, whatever the order of the lists."""
        rows = sorted((video.name, video.label, video.flags, video.group) for video in self.videos)
        return hashlib.sha256(json.dumps([self.splits, rows]).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What a frames folder's catalog.json says of its frames: what shaped them, how they are stored (see
    `preprocess.frame_store`), which videos on disk no list names, and in `assumed` what a file of schema 2 left open."""

    frame_settings: FrameSettings
    layout: str
    unlisted: tuple[str, ...] = ()
    assumed: str = ""


def save(catalog: Catalog, folder: Path, extraction: Extraction) -> None:
    """Write `catalog.json`."""
    value = {"schema": SCHEMA, **asdict(catalog)}
    videos = value.pop("videos")
    value |= {
        "frame_settings": asdict(extraction.frame_settings),
        "layout": extraction.layout,
        "unlisted": list(extraction.unlisted),
    }
    for video in videos:
        if video["segment_s"] is None:
            del video["segment_s"]
    files.write_json(folder / FILE_NAME, {**value, "videos": videos})


def load(folder: Path) -> tuple[Catalog, Extraction]:
    """Read a frames folder's `catalog.json`, of this schema or of 2.

    Raises:
        InputError: there is none, it is damaged, or of another schema.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} is not a frames folder (it has no {FILE_NAME}): make one with preprocess/extract_frames.py"
        )
    value = files.read_json(path)
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema not in READABLE:
        raise InputError(f"{path} has schema {schema}, this version reads 2 and {SCHEMA}: extract the frames again")
    try:
        return from_json_2(value, path) if schema == 2 else from_json(value)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} has not the keys that preprocess/extract_frames.py writes ({error}): extract the frames again"
        ) from None


def from_json(value: dict[str, Any]) -> tuple[Catalog, Extraction]:
    """What `save` wrote.

    Raises:
        KeyError, TypeError, IndexError: a key is missing.
    """
    videos = tuple(
        Video(**video | {"flags": tuple(video["flags"]), "segment_s": segment_of(video)}) for video in value["videos"]
    )
    catalog = Catalog(
        dataset=value["dataset"],
        class_names=tuple(value["class_names"]),
        splits=tuple(value["splits"]),
        videos=videos,
        split_source=SplitSource(**value["split_source"]),
        release=value["release"],
    )
    settings = frame_settings.from_json(value["frame_settings"])
    return catalog, Extraction(frame_settings=settings, layout=value["layout"], unlisted=tuple(value["unlisted"]))


def from_json_2(value: dict[str, Any], path: Path) -> tuple[Catalog, Extraction]:
    """A catalog of schema 2, which has no groups and does not say how its splits were drawn. Raises as `from_json`."""
    dataset = value["dataset"]
    videos = tuple(
        Video(
            class_name=v["class"],
            video_id=v["video_id"],
            label=v["label"],
            path=v["path"],
            flags=tuple(v["flags"]),
            group=group_by_name(dataset, v["class"], v["video_id"]),
            segment_s=segment_of(v),
        )
        for v in value["videos"]
    )
    settings = value["settings"]
    catalog = Catalog(
        dataset=dataset,
        class_names=tuple(value["class_names"]),
        splits=tuple(value["splits"]),
        videos=videos,
        split_source=UNKNOWN,
        release=settings.get("hmdb51_release", ""),
    )
    extraction = Extraction(
        frame_settings=frame_settings.from_json(settings),
        layout=settings["layout"],
        unlisted=tuple(value.get("unlisted", ())),
        assumed=f"{path} is of schema 2: groups are assumed from names, how the split was drawn is not recorded",
    )
    return catalog, extraction


def segment_of(video: dict[str, Any]) -> tuple[float, float] | None:
    """A video's segment in JSON, in seconds."""
    return (video["segment_s"][0], video["segment_s"][1]) if "segment_s" in video else None
