"""ImageNet's layout: train/<class>/*.JPEG and val/<class>/*.JPEG become rows of one frame.

The files' bytes are stored untouched where libjpeg-turbo turns them into RGB without complaint, as training and evaluation
do. What only PIL reads (CMYK, stray bytes, a PNG under a JPEG's name) is stored encoded anew: no file ends a run later.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from mindrecord.manifest import Absent
from mindrecord.plan import PlannedRow
from mindrecord.sources.base import PackableVideo, Source
from preprocess import ledger
from preprocess.catalog import TEST, TRAIN, Catalog, Video
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.workers import executors

DATASET = "imagenet"
PARTS = {"train": TRAIN, "val": TEST}
SUFFIXES = (".jpg", ".jpeg")
JPEG_MAGIC = b"\xff\xd8\xff"  # ITU-T T.81, B.1.1.3: the marker SOI, and the first byte of the next
FOUR_INKS = ("CMYK", "YCCK")
QUALITY = 95  # of what is encoded anew
FAILURES_SHOWN = 25


@dataclass(frozen=True)
class ImageFile:
    """A JPEG file, as a video of one frame; `anew` where it has to be encoded anew."""

    path: Path
    anew: bool

    def read(self) -> list[bytes]:
        """See `Jpegs`."""
        data = self.path.read_bytes()
        return [encoded_anew(data) if self.anew else data]

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Found:
    """One file of a class folder: how many bytes are stored of it, whether encoded anew, or why it cannot be."""

    name: str
    size_bytes: int
    anew: bool = False
    reason: str = ""


@dataclass(frozen=True)
class ClassFolder:
    """The files of one folder, sorted; how many others are left out."""

    path: Path
    images: tuple[Found, ...]
    others: int


def list_class(folder: Path) -> ClassFolder:
    """Decode every image of a class folder."""
    images, others = [], 0
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            others += not path.name.startswith(".")
            continue
        images.append(look_at(path))
    return ClassFolder(folder, tuple(images), others)


def look_at(path: Path) -> Found:
    """Decode an image as training and evaluation will."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Found(path.name, 0, reason=f"cannot be read: {error.strerror}")
    if is_plain(data):
        return Found(path.name, len(data))
    try:
        return Found(path.name, len(encoded_anew(data)), anew=True)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        what = "does not decode" if data.startswith(JPEG_MAGIC) else "is no JPEG"
        return Found(path.name, len(data), reason=f"{what}: {error}")


def is_plain(data: bytes) -> bool:
    """Whether this is a JPEG in YCbCr, RGB or grey, that decodes without complaint."""
    if not data.startswith(JPEG_MAGIC):
        return False
    try:
        simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:
        return False
    return simplejpeg.decode_jpeg_header(data)[2] not in FOUR_INKS


def encoded_anew(data: bytes) -> bytes:
    """What PIL makes of an image, in RGB, as a JPEG. Raises what PIL raises."""
    with Image.open(io.BytesIO(data)) as image:
        jpeg: bytes = simplejpeg.encode_jpeg(np.asarray(image.convert("RGB")), QUALITY, colorsubsampling="444")
    return jpeg


def image_folder(root: Path, workers: int, cluster: str) -> Source:
    """The images of `root`, one split "1": train/ trains, val/ tests. Classes are numbered in sorted order.

    A file that does not decode is failed, and said; one that is encoded anew or has another suffix is counted. Raises
    InputError when there is no train/ or no JPEG in it.
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
        for image in found.images:
            file = image.name
            stem = file.rpartition(".")[0]
            taken[f"{name}/{stem}"] += 1
            video_id = stem if taken[f"{name}/{stem}"] == 1 else f"{part}_{file}"  # the same name in train/ and val/
            video = Video(name, video_id, labels[name], f"{part}/{name}/{file}", (PARTS[part],))
            videos.append(video)
            hashed.update(f"{video.path}\0{image.size_bytes}\0{image.reason}\n".encode())
            if image.reason:
                absent.append(Absent(name, video_id, video.flags, ledger.FAILED))
                if len(absent) <= FAILURES_SHOWN:
                    say(f"failed: {video.path}: {image.reason}")
            else:
                row = PlannedRow(0, 1, image.size_bytes)
                packable.append(PackableVideo(video, 0.0, (row,), ImageFile(found.path / file, image.anew)))
    if others := sum(one.others for one in listed.values()):
        say(f"{others} files are neither .jpg nor .jpeg and were left out")
    if anew := sum(image.anew for one in listed.values() for image in one.images):
        say(f"{anew} files are no RGB or grey JPEGs without a flaw and are encoded anew, at quality {QUALITY}")
    if not packable:
        raise InputError(f"{root / 'train'} and {root / 'val'} have no JPEG in a <class> folder")
    catalog = Catalog(DATASET, class_names, ("1",), tuple(videos))
    return Source(catalog, {}, hashed.hexdigest(), tuple(packable), tuple(absent))
