"""Write a small data set of images in ImageNet's layout: ten classes of textures, as JPEGs of every kind.

    python scripts/make_textures.py --out work/textures

Each image has its own colours, scale, phase and noise. Among the files of a class are colour at full and at quarter
resolution, progressive, grey, CMYK, one with an EXIF orientation, and in training one that is a single pixel high.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say

Plane = NDArray[Any]
NOISE = 12.0  # standard deviation, of 255
ORIENTATION, TURNED = 0x0112, 6  # EXIF 2.32, 4.6.4: the first row is the right side


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a small data set of textures as JPEG files in ImageNet's layout (train/, val/)."""

    out: Path = Path("work/textures")
    """Folder to write, new."""
    train: int = 60
    """Training images of each class."""
    val: int = 20
    """Test images of each class."""
    width: int = 160
    """Of the images, in pixels."""
    height: int = 120
    """Of the images, in pixels."""
    seed: int = 0
    """Of everything that is drawn."""


def main(options: Options) -> int:
    if min(options.train, options.val) < 1 or min(options.width, options.height) < 16 or options.seed < 0:
        raise InputError("--train and --val are 1 or more, --width and --height 16 or more, --seed 0 or more")
    if options.out.exists():
        raise InputError(f"{options.out} is there already: choose another --out, or delete it")
    with files.folder_by_rename(options.out) as building:
        for label, name in enumerate(TEXTURES):
            for part, count in (("train", options.train), ("val", options.val)):
                (building / part / name).mkdir(parents=True)
                for i in range(count):
                    rng = np.random.default_rng([options.seed, label, part == "val", i])
                    height = 1 if part == "train" and i == len(KINDS) else options.height
                    image = Image.fromarray(texture(name, options.width, height, rng))
                    mode, settings = KINDS[i % len(KINDS)]
                    image.convert(mode).save(building / part / name / f"{part}_{i:05d}.JPEG", "JPEG", **settings())
    say(f"{len(TEXTURES)} classes, {options.train} and {options.val} images each: {options.out}")
    return 0


def turned() -> dict[str, Any]:
    """Settings of a file that says it is to be shown on its side."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    return {"quality": 90, "exif": exif}


# what the files of a class are, in turn: PIL's mode and settings
KINDS: tuple[tuple[str, Callable[[], dict[str, Any]]], ...] = (
    ("RGB", lambda: {"quality": 90}),
    ("RGB", lambda: {"quality": 75, "subsampling": 0}),
    ("RGB", lambda: {"quality": 85, "progressive": True}),
    ("L", lambda: {"quality": 90}),
    ("CMYK", lambda: {"quality": 90}),
    ("RGB", turned),
)


def texture(name: str, width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image_HWC of a class."""
    y, x = np.mgrid[:height, :width] + rng.uniform(0, 100, (2, 1, 1))
    period = rng.uniform(10, 20)
    share = TEXTURES[name](x / period, y / period, rng)[:, :, None]
    colours = rng.uniform(0, 255, (2, 3))
    while abs(colours[0].mean() - colours[1].mean()) < 60:
        colours = rng.uniform(0, 255, (2, 3))
    image_HWC = colours[0] * share + colours[1] * (1 - share) + rng.normal(0, NOISE, (height, width, 3))
    return np.asarray(image_HWC.clip(0, 255), np.uint8)


def wave(x: Plane) -> Plane:
    """From 0 to 1 and back, in a period of 1."""
    return np.asarray(1 + np.cos(2 * np.pi * x)) / 2


def distance(x: Plane, y: Plane) -> Plane:
    """From the centre of the cell of side 1 that a point is in."""
    return np.hypot(x % 1 - 0.5, y % 1 - 0.5)


def smooth_noise(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Blotches about one unit in size."""
    directions, phases = rng.uniform(0, 2 * np.pi, (2, 24))
    waves = [np.cos(3 * (np.cos(d) * x + np.sin(d) * y) + p) for d, p in zip(directions, phases, strict=True)]
    return np.asarray(np.sum(waves, axis=0) / 6 + 0.5).clip(0, 1)


# class -> how much of the first colour there is at (x, y), in periods
TEXTURES: dict[str, Callable[[Plane, Plane, np.random.Generator], Plane]] = {
    "blotches": smooth_noise,
    "bricks": lambda x, y, _: 1.0 * (((x / 2 + 0.5 * np.floor(y)) % 1 > 0.1) & (y % 1 > 0.2)),
    "checks": lambda x, y, _: (np.floor(x) + np.floor(y)) % 2,
    "columns": lambda x, y, _: wave(x),
    "diagonals": lambda x, y, rng: wave((x + rng.choice([-1.0, 1.0]) * y) / np.sqrt(2)),
    "dots": lambda x, y, _: 1.0 * (distance(x, y) < 0.3),
    "grid": lambda x, y, _: 1.0 * ((x % 1 < 0.15) | (y % 1 < 0.15)),
    "rings": lambda x, y, _: wave(2 * distance(x / 3, y / 3) * 2),
    "rows": lambda x, y, _: wave(y),
    "speckle": lambda x, y, rng: 1.0 * (rng.random(x.shape) < 0.5),
}


if __name__ == "__main__":
    cli.run(main, Options)
