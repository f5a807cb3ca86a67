"""A contact sheet of a frames folder, for people to look at.

python preprocess/preview.py work/frames --out sheet.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from typing import Annotated, TypeVar

import cv2
import numpy as np
import simplejpeg
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from preprocess import catalog, ledger
from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.frame_store import read_frames, target

T = TypeVar("T")
TILE_HEIGHT, GAP, LABEL_WIDTH = 72, 4, 190  # pixels
INK, PAPER = (27, 39, 51), (255, 255, 255)


@dataclass(frozen=True)
class Options:
    """Draw a few frames of a few videos of each class, with their names, into one picture."""

    frames: Annotated[Path, tyro.conf.Positional] = Path("work/frames")
    """The frames folder."""
    out: Path = Path("sheet.png")
    """The picture to write, .png or .jpg."""
    classes: int = 12
    """At most so many classes, spread evenly over all."""
    videos: int = 2
    """Videos of each class."""
    tiles: int = 6
    """Frames of each video, spread evenly over its length."""


def main(options: Options) -> int:
    if min(options.classes, options.videos, options.tiles) < 1 or options.out.suffix.lower() not in (".png", ".jpg"):
        raise InputError("--classes, --videos and --tiles are 1 or more, and --out ends in .png or .jpg")
    listed, written = catalog.load(options.frames)
    entries = ledger.read(options.frames)
    rows = []
    for name in spread([n for n in listed.class_names if any(has_frames(e, n) for e in entries.values())], options.classes):
        for entry in spread([e for e in entries.values() if has_frames(e, name)], options.videos):
            path = target(options.frames, entry.class_name, entry.video_id, written["settings"]["layout"])
            jpegs = read_frames(path, written["settings"]["layout"], entry.decoded_frames)
            rows.append((entry, [tile(jpeg) for jpeg in spread(jpegs, options.tiles)]))
    if not rows:
        raise InputError(f"{options.frames} has no video that was extracted")
    draw_sheet(rows).save(options.out)
    say(f"{len(rows)} videos of {len({entry.class_name for entry, _ in rows})} classes: {options.out}")
    return 0


def has_frames(entry: ledger.Entry, class_name: str) -> bool:
    """Whether the video is of this class and was extracted."""
    return entry.class_name == class_name and entry.status == ledger.OK


def spread(items: list[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spread, the first and the last included."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def tile(jpeg: bytes) -> NDArray[np.uint8]:
    """A frame scaled to the sheet's row height, RGB."""
    frame_HWC = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    width = max(round(frame_HWC.shape[1] * TILE_HEIGHT / frame_HWC.shape[0]), 1)
    return np.asarray(cv2.resize(frame_HWC, (width, TILE_HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def draw_sheet(rows: list[tuple[ledger.Entry, list[NDArray[np.uint8]]]]) -> Image.Image:
    """One row a video: class, name and frame count, then its frames."""
    width = LABEL_WIDTH + max(sum(t.shape[1] + GAP for t in tiles) for _, tiles in rows) + GAP
    sheet = Image.new("RGB", (width, len(rows) * (TILE_HEIGHT + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for i, (entry, tiles) in enumerate(rows):
        top = GAP + i * (TILE_HEIGHT + GAP)
        for line, text in enumerate((entry.class_name, entry.video_id, f"{entry.decoded_frames} frames")):
            draw.text((8, top + 12 + 17 * line), shortened(text, font, LABEL_WIDTH - 16), fill=INK, font=font)
        left = LABEL_WIDTH
        for frame_HWC in tiles:
            sheet.paste(Image.fromarray(frame_HWC), (left, top))
            left += frame_HWC.shape[1] + GAP
    return sheet


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, its middle left out where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    half = len(text) // 2
    while half > 1 and font.getlength(f"{text[:half]}…{text[-half:]}") > width:
        half -= 1
    return f"{text[:half]}…{text[-half:]}"


if __name__ == "__main__":
    cli.run(main, Options)
