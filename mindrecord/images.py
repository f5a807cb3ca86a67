"""ImageNet's layout: train/<class>/*.JPEG and val/<class>/*.JPEG become rows of one frame, the files' bytes untouched."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mindrecord.manifest import Absent
from mindrecord.plan import PlannedRow
from mindrecord.sources import PackableVideo, Source
from preprocess import executors, ledger
from preprocess.catalog import TEST, TRAIN, Catalog, Video
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say

DATASET = "imagenet"
PARTS = {"train": TRAIN, "val": TEST}
SUFFIXES = (".jpg", ".jpeg")
JPEG_MAGIC = b"\xff\xd8\xff"  # ITU-T T.81, B.1.1.3: the marker SOI, and the first byte of the next
FAILURES_SHOWN = 25


@dataclass(frozen=True)
class ImageFile:
    """A JPEG file, as a video of one frame."""

    path: Path

    def read(self) -> list[bytes]:
        """See `mindrecord.jpegs.Jpegs`."""
        return [self.path.read_bytes()]

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class ClassFolder:
    """The files of one folder: (name, bytes, why it is no JPEG, if so), sorted; how many others are left out."""

    path: Path
    images: tuple[tuple[str, int, str], ...]
    others: int


def list_class(folder: Path) -> ClassFolder:
    """Look at every file of a class folder."""
    images, others = [], 0
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            others += not path.name.startswith(".")
            continue
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                reason = "" if stream.read(len(JPEG_MAGIC)) == JPEG_MAGIC else "is no JPEG"
        except OSError as error:
            size, reason = 0, f"cannot be read: {error.strerror}"
        images.append((path.name, size, reason))
    return ClassFolder(folder, tuple(images), others)


def image_folder(root: Path, workers: int, cluster: str) -> Source:
    """The images of `root`, one split "1": train/ trains, val/ tests. Classes are numbered in sorted order.

    A file that is no JPEG is failed, and said; a file of another suffix is left out, and counted. Raises InputError when
    there is no train/ or no JPEG in it.
    """
    if not (root / "train").is_dir():
        raise InputError(f"{root} has no folder train/: the images belong into {root / 'train'}/<class>/ and {root / 'val'}")
    folders = sorted(path for part in PARTS for path in (root / part).glob("*/") if not path.name.startswith("."))
    class_names = tuple(sorted({path.name for path in folders}))
    results = executors.run(list_class, [path.resolve() for path in folders], workers, cluster)
    listed = {one.path: one for one in progress(results, "class folders", total=len(folders))}
    packable, absent, videos, hashed = [], [], [], hashlib.sha256()
    labels = {name: label for label, name in enumerate(class_names)}
    taken = Counter[str]()
    for folder in folders:
        found = listed[folder.resolve()]
        part, name = folder.parent.name, folder.name
        for file, size, reason in found.images:
            stem = file.rpartition(".")[0]
            taken[f"{name}/{stem}"] += 1
            video_id = stem if taken[f"{name}/{stem}"] == 1 else f"{part}_{file}"  # the same name in train/ and val/
            video = Video(name, video_id, labels[name], f"{part}/{name}/{file}", (PARTS[part],))
            videos.append(video)
            hashed.update(f"{video.path}\0{size}\0{reason}\n".encode())
            if reason:
                absent.append(Absent(name, video_id, video.flags, ledger.FAILED))
                if len(absent) <= FAILURES_SHOWN:
                    say(f"failed: {video.path}: {reason}")
            else:
                packable.append(PackableVideo(video, 0.0, (PlannedRow(0, 1, size),), ImageFile(found.path / file)))
    if others := sum(one.others for one in listed.values()):
        say(f"{others} files are neither .jpg nor .jpeg and were left out")
    if not packable:
        raise InputError(f"{root / 'train'} and {root / 'val'} have no JPEG in a <class> folder")
    catalog = Catalog(DATASET, class_names, ("1",), tuple(videos))
    return Source(catalog, {}, hashed.hexdigest(), tuple(packable), tuple(absent))
