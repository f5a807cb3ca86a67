"""ImageNet's layout: train/<class>/*.JPEG and val/<class>/*.JPEG become rows of one frame.

The files' bytes are stored untouched where libjpeg-turbo turns them into RGB without complaint, as training and evaluation
do. What only PIL reads (CMYK, stray bytes, a PNG under a JPEG's name) is encoded again: no file ends a run later.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

from mindrecord.manifest import Absent
from mindrecord.plan import PlannedRow
from mindrecord.sources.base import PackableVideo, PackOptions, Source
from preprocess import ledger
from preprocess.catalog import TEST, TRAIN, Catalog, SplitSource, Video
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.dataset_options import allowed_failures
from preprocess.frame_settings import FrameSettings
from preprocess.workers import executors

DATASET: Literal["imagenet"] = "imagenet"
PARTS = {"train": TRAIN, "val": TEST}
SUFFIXES = (".jpg", ".jpeg")
JPEG_MAGIC = b"\xff\xd8\xff"  # ITU-T T.81, B.1.1.3: the marker SOI, and the first byte of the next
FOUR_INKS = ("CMYK", "YCCK")
QUALITY = 95  # of what is encoded again
AS_THEY_ARE = FrameSettings(short_side=0, quality=QUALITY)
FAILURES_SHOWN = 25


@dataclass(frozen=True, kw_only=True)
class ImagesOptions(PackOptions):
    """Pack a folder of images, train/ and val/ with class folders of JPEGs, into MindRecord shards, one row an image."""

    dataset: Literal["imagenet"] = DATASET
    """ImageNet's layout."""
    root: Path = Path("data/ImageNet")
    """The folder that holds train/ and val/."""
    workers: int = 0
    """Processes; 0 takes every core this process may use. The bytes written do not depend on it."""
    cluster: str = ""
    """A Dask cluster instead of processes here: tcp://host:port of its scheduler, or local:N."""
    max_failures: str = "0"
    """How many images, or what share of them (as 5%), may fail to decode before the exit code is 2. The others are packed in
    any case."""

    def check(self) -> None:
        """Check what the types do not.

        Raises:
            InputError: a value is out of range.
        """
        self.check_packing(self.workers)
        allowed_failures(self.max_failures, 0)

    def __str__(self) -> str:
        return f"{self.dataset} at {self.root}"


@dataclass(frozen=True)
class ImageFile:
    """A JPEG file, as a video of one frame; `encode` where it has to be encoded again."""

    path: Path
    encode: bool

    def read(self) -> list[bytes]:
        """See `Jpegs`."""
        data = self.path.read_bytes()
        return [encode_again(data) if self.encode else data]

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One file of a class folder: how many bytes are stored of it, whether encoded again, or why it cannot be."""

    name: str
    size_bytes: int
    encode: bool = False
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
        return Found(name=path.name, size_bytes=0, reason=f"cannot be read: {error.strerror}")
    if is_plain(data):
        return Found(name=path.name, size_bytes=len(data))
    try:
        return Found(name=path.name, size_bytes=len(encode_again(data)), encode=True)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        what = "does not decode" if data.startswith(JPEG_MAGIC) else "is no JPEG"
        return Found(name=path.name, size_bytes=len(data), reason=f"{what}: {error}")


def is_plain(data: bytes) -> bool:
    """Whether this is a JPEG in YCbCr, RGB or grey, that decodes without complaint."""
    if not data.startswith(JPEG_MAGIC):
        return False
    try:
        simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:
        return False
    return simplejpeg.decode_jpeg_header(data)[2] not in FOUR_INKS


def encode_again(data: bytes) -> bytes:
    """What PIL makes of an image, in RGB, as a JPEG. Raises what PIL raises."""
    with Image.open(io.BytesIO(data)) as image:
        jpeg: bytes = simplejpeg.encode_jpeg(np.asarray(image.convert("RGB")), QUALITY, colorsubsampling="444")
    return jpeg


def image_folder(options: ImagesOptions) -> Source:
    """The images of `options.root`, one split "1": train/ trains, val/ tests. Classes are numbered in sorted order.

    A file that does not decode is failed and printed; one that is encoded again or has another suffix is counted. Raises
    InputError when there is no train/ or no JPEG in it.
    """
    root = options.root
    if not (root / "train").is_dir():
        raise InputError(f"{root} has no folder train/: the images belong into {root / 'train'}/<class>/ and {root / 'val'}")
    folders = sorted(path for part in PARTS for path in (root / part).glob("*/") if not path.name.startswith("."))
    class_names = tuple(sorted({path.name for path in folders}))
    results = executors.run(list_class, [path.resolve() for path in folders], options.workers, options.cluster)
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
            video = Video(
                class_name=name,
                video_id=video_id,
                label=labels[name],
                path=f"{part}/{name}/{file}",
                flags=(PARTS[part],),
            )
            videos.append(video)
            hashed.update(f"{video.path}\0{image.size_bytes}\0{image.reason}\n".encode())
            if image.reason:
                absent.append(Absent(class_name=name, video_id=video_id, flags=video.flags, status=ledger.FAILED))
                if len(absent) <= FAILURES_SHOWN:
                    say(f"failed: {video.path}: {image.reason}")
            else:
                row = PlannedRow(0, 1, image.size_bytes)
                jpegs = ImageFile(found.path / file, image.encode)
                packable.append(PackableVideo(video=video, fps=0.0, rows=(row,), jpegs=jpegs))
    if others := sum(one.others for one in listed.values()):
        say(f"{others} files are neither .jpg nor .jpeg and were left out")
    if again := sum(image.encode for one in listed.values() for image in one.images):
        say(f"{again} files are not flawless RGB or grey JPEGs and are encoded again, at quality {QUALITY}")
    if not packable:
        raise InputError(f"{root / 'train'} and {root / 'val'} have no JPEG in a <class> folder")
    return Source(
        listed=Catalog(
            dataset=DATASET,
            class_names=class_names,
            splits=("1",),
            videos=tuple(videos),
            split_source=SplitSource(drawn="folders"),
        ),
        frame_settings=AS_THEY_ARE,
        sha256=hashed.hexdigest(),
        videos=tuple(packable),
        absent=tuple(absent),
        sha256_schema_2=hashed.hexdigest(),
    )
