"""The manifest of a records folder: what is packed, in which files, and what the lists name that is not packed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mindrecord import schema
from preprocess import frame_settings
from preprocess.catalog import TRAIN, UNKNOWN, UNUSED, SplitSource, VideoKey
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.frame_settings import FrameSettings

FILE_NAME = "manifest.json"
PACK_SETTINGS = ("shard_mb", "segment_frames", "seed")
COPY_OR_PACK = "copy the records folder again, or delete it and pack it again with mindrecord/build.py"


@dataclass(frozen=True)
class StoredFile:
    """A file of a shard, as it was written."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One MindRecord file and its index (`file` + ".db"), and their expected contents: `videos` complete videos in `rows`
    rows (rows >= videos)."""

    file: str
    flags: tuple[int, ...]
    rows: int
    videos: int
    frames: int
    size_bytes: int
    sha256: str
    db_size_bytes: int
    db_sha256: str

    @property
    def stored_files(self) -> tuple[StoredFile, StoredFile]:
        """The shard's data and its index."""
        return (
            StoredFile(self.file, self.size_bytes, self.sha256),
            StoredFile(f"{self.file}.db", self.db_size_bytes, self.db_sha256),
        )


@dataclass(frozen=True, kw_only=True)
class Absent(VideoKey):
    """A video that the lists name and the pack lacks; `status` is the ledger's, missing or failed."""

    flags: tuple[int, ...]
    status: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A records folder.

    `frame_settings` shaped the frames, `settings` are the packing's own. `frames_sha256` is the hash of the ledger packed,
    `splits_sha256` that of every listed video's label, flags and group, which `split_source` drew. `class_videos` is what
    `count_classes` makes of the videos packed. `assumed` is one line on what a manifest of schema 2 leaves open, else empty.
    """

    dataset: str
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    split_source: SplitSource
    splits_sha256: str
    release: str
    frame_settings: FrameSettings
    settings: dict[str, Any]
    frames_sha256: str
    shards: tuple[Shard, ...]
    absent: tuple[Absent, ...]
    class_videos: dict[str, dict[str, list[int]]]
    assumed: str = ""

    def split_index(self, split: str) -> int:
        """The place of a split's flag.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.splits:
            raise InputError(f"--split {split} is not in these records: they have {', '.join(self.splits)}")
        return self.splits.index(split)

    def shards_of(self, split: str, flag: int) -> list[Shard]:
        """The shards whose videos all have `flag` in `split`."""
        index = self.split_index(split)
        return [shard for shard in self.shards if shard.flags[index] == flag]

    def absent_of(self, split: str, flag: int) -> list[Absent]:
        """The listed videos with `flag` in `split` that are not packed."""
        index = self.split_index(split)
        return [video for video in self.absent if video.flags[index] == flag]


def count_classes(
    videos: Iterable[tuple[int, tuple[int, ...]]], classes: int, splits: tuple[str, ...]
) -> dict[str, dict[str, list[int]]]:
    """How many videos of each class, in the order of labels, train and test in each split, given labels and flags."""
    counts = {split: {"train": [0] * classes, "test": [0] * classes} for split in splits}
    for label, flags in videos:
        for split, flag in zip(splits, flags, strict=True):
            if flag != UNUSED:
                counts[split]["train" if flag == TRAIN else "test"][label] += 1
    return counts


def save(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.json`."""
    value = asdict(manifest)
    del value["assumed"]
    files.write_json(folder / FILE_NAME, {"schema": schema.VERSION, **value})


def load(folder: Path) -> Manifest:
    """Read a records folder and check that it has every shard, with its size.

    Raises:
        InputError: the folder is no records folder, is of another schema, or a shard is missing or cut.
    """
    manifest = read(folder)
    for shard in manifest.shards:
        for file in shard.stored_files:
            problem = size_problem(folder, file)
            if problem:
                raise InputError(problem)
    return manifest


def read(folder: Path) -> Manifest:
    """Read `manifest.json`, whatever became of the shards.

    Raises:
        InputError: it is none, damaged or of another schema.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(f"{folder} is not a records folder (it has no {FILE_NAME}): make one with mindrecord/build.py")
    value = files.read_json(path)
    version = value.pop("schema", None) if isinstance(value, dict) else None
    if version not in schema.READABLE:
        raise InputError(
            f"{path} has schema {version}, this version reads 2 and {schema.VERSION}: "
            "pack the frames again with mindrecord/build.py --out a new folder"
        )
    try:
        value |= of_schema_2(value, path) if version == 2 else {"split_source": SplitSource(**value["split_source"])}
        value["frame_settings"] = frame_settings.from_json(value["frame_settings"])
        value["shards"] = tuple(map(shard_from_json, value["shards"]))
        value["absent"] = tuple(Absent(**video | {"flags": tuple(video["flags"])}) for video in value["absent"])
        return Manifest(**value | {name: tuple(value[name]) for name in ("class_names", "splits")})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} has not the keys that mindrecord/build.py writes ({error}): {COPY_OR_PACK}") from None


def of_schema_2(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a manifest of schema 2 has otherwise or not at all: its `settings` are the frames' and the packing's together."""
    settings = value["settings"]
    return {
        "split_source": UNKNOWN,
        "splits_sha256": "",
        "release": settings.get("hmdb51_release", ""),
        "frame_settings": settings,
        "settings": {name: settings[name] for name in PACK_SETTINGS},
        "assumed": f"{path} is of schema 2: groups are assumed from names, how the split was drawn is not recorded",
    }


def shard_from_json(value: dict[str, Any]) -> Shard:
    """A shard as `asdict` and JSON have it."""
    return Shard(**value | {"flags": tuple(value["flags"])})


def size_problem(folder: Path, file: StoredFile) -> str:
    """What is wrong with the file's size, and what to do; empty if nothing is."""
    path = folder / file.name
    found = path.stat().st_size if path.is_file() else None
    if found == file.size_bytes:
        return ""
    state = "is missing" if found is None else f"has {found} bytes, the manifest says {file.size_bytes}"
    return f"{path} {state}: {COPY_OR_PACK}"
