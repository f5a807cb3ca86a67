"""A contact sheet: a row a clip, its names and then a few of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from preprocess.common import files
from preprocess.common.errors import InputError

T = TypeVar("T")
TILE_HEIGHT, GAP, LABEL_WIDTH, LINE_HEIGHT = 72, 4, 190, 17  # pixels
INK, PAPER = (27, 39, 51), (255, 255, 255)


@dataclass(frozen=True)
class SheetRow:
    """A clip on the sheet: up to four lines of text, and its tiles (H, W, 3), RGB, of the sheet's row height."""

    lines: tuple[str, ...]
    tiles: tuple[NDArray[np.uint8], ...]


def check_picture(out: Path) -> None:
    """Check that a picture can be written to `out`.

    Raises:
        InputError: it cannot.
    """
    files.check_file(out, "--out", ".png", ".jpg")


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spread, the first and the last included."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def tile(jpeg: bytes) -> NDArray[np.uint8]:
    """A frame scaled to the sheet's row height, RGB.

    Raises:
        InputError: it does not decode.
    """
    try:
        frame_HWC = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    except ValueError as error:
        raise InputError(f"a frame does not decode ({error}): verify.py of its folder says which, and what to do") from None
    width = max(round(frame_HWC.shape[1] * TILE_HEIGHT / frame_HWC.shape[0]), 1)
    return np.asarray(cv2.resize(frame_HWC, (width, TILE_HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def draw_sheet(rows: Sequence[SheetRow]) -> Image.Image:
    """One row a clip: its lines, then its frames."""
    width = LABEL_WIDTH + max(sum(t.shape[1] + GAP for t in row.tiles) for row in rows) + GAP
    sheet = Image.new("RGB", (width, len(rows) * (TILE_HEIGHT + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for i, row in enumerate(rows):
        top = GAP + i * (TILE_HEIGHT + GAP)
        for line, text in enumerate(row.lines):
            text_top = top + (TILE_HEIGHT - len(row.lines) * LINE_HEIGHT) // 2 + line * LINE_HEIGHT
            draw.text((8, text_top), shortened(text, font, LABEL_WIDTH - 16), fill=INK, font=font)
        left = LABEL_WIDTH
        for frame_HWC in row.tiles:
            sheet.paste(Image.fromarray(frame_HWC), (left, top))
            left += frame_HWC.shape[1] + GAP
    return sheet


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, with its middle elided if it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    half = len(text) // 2
    while half > 1 and font.getlength(f"{text[:half]}…{text[-half:]}") > width:
        half -= 1
    return f"{text[:half]}…{text[-half:]}"
