"""The catalog: which videos a data set has, with their labels and splits. What every annotation reader returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preprocess.common import files
from preprocess.common.errors import InputError

UNUSED, TRAIN, TEST = 0, 1, 2
SCHEMA = 2
FILE_NAME = "catalog.json"


@dataclass(frozen=True)
class Video:
    """One listed video.

    `class_name` and `video_id` name its folder of frames; `label` is 0-based; `path` is relative to the data set's folder
    of videos; `flags` has one of UNUSED, TRAIN, TEST for each split. `segment_s` is the part of the file that is meant, from
    start to end in seconds, None the whole of it; several videos of a catalog may be segments of one `path`.
    """

    class_name: str
    video_id: str
    label: int
    path: str
    flags: tuple[int, ...]
    segment_s: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """`Class/video_id`, unique in a data set."""
        return f"{self.class_name}/{self.video_id}"


@dataclass(frozen=True)
class Catalog:
    """A data set: its name, the class names in label order, the names of its splits, its videos in listed order."""

    dataset: str
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    videos: tuple[Video, ...]

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


def save(catalog: Catalog, folder: Path, **more: Any) -> None:
    """Write `catalog.json`, with what else the stage records about itself."""
    value = {"schema": SCHEMA, **more, **asdict(catalog)}
    value["videos"] = [
        {"class": v.class_name, "video_id": v.video_id, "label": v.label, "path": v.path, "flags": list(v.flags)}
        | ({"segment_s": list(v.segment_s)} if v.segment_s is not None else {})
        for v in catalog.videos
    ]
    files.write_json(folder / FILE_NAME, value)


def load(folder: Path) -> tuple[Catalog, dict[str, Any]]:
    """Read a frames folder's `catalog.json`: the catalog, and the whole file. Raises InputError if it is not one."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} is not a frames folder (it has no {FILE_NAME}): make one with preprocess/extract_frames.py"
        )
    value = files.read_json(path)
    found = value.get("schema") if isinstance(value, dict) else None
    if found != SCHEMA:
        raise InputError(f"{path} has schema {found}, this version reads {SCHEMA}: extract the frames again")
    try:
        videos = tuple(
            Video(
                v["class"],
                v["video_id"],
                v["label"],
                v["path"],
                tuple(v["flags"]),
                (v["segment_s"][0], v["segment_s"][1]) if "segment_s" in v else None,
            )
            for v in value["videos"]
        )
        return Catalog(value["dataset"], tuple(value["class_names"]), tuple(value["splits"]), videos), value
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} has not the keys that preprocess/extract_frames.py writes ({error}): extract the frames again"
        ) from None
