"""Which pixels of a frame make the network's input: crop boxes as pure functions, and one step from a JPEG to the buffer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

CROP_ATTEMPTS = 10
MULTI_SCALES = (1.0, 0.875, 0.75, 0.66)
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma
Bytes = NDArray[np.uint8]
Buffer = bytes | memoryview | Bytes
Crop = Literal["resized", "multiscale", "centre"]
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in pixels, inside the frame."""

    top: int
    left: int
    height: int
    width: int


def random_resized_crop(height: int, width: int, scale: Range, ratio: Range, rng: np.random.Generator) -> Box:
    """A box of an area drawn uniformly from `scale` x the frame's, and an aspect ratio drawn log-uniformly from `ratio`.

    "Inception-style" cropping (arXiv:1409.4842, section 6; the paper uses scale [0.25, 1], ratio [3/4, 4/3]). When ten
    draws do not fit, the largest centred box whose ratio is allowed.
    """
    for _ in range(CROP_ATTEMPTS):
        area = height * width * rng.uniform(scale[0], scale[1])
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            return Box(
                top=int(rng.integers(height - box_height + 1)),
                left=int(rng.integers(width - box_width + 1)),
                height=box_height,
                width=box_width,
            )
    aspect = min(max(width / height, ratio[0]), ratio[1])
    box_width, box_height = min(width, max(round(height * aspect), 1)), min(height, max(round(width / aspect), 1))
    return Box(top=(height - box_height) // 2, left=(width - box_width) // 2, height=box_height, width=box_width)


def multi_scale_crop(height: int, width: int, rng: np.random.Generator) -> Box:
    """A box in one of the four corners or the centre, whose sides are each one of four shares of the frame's shorter side.

    Corner cropping with scale jittering (temporal segment networks, arXiv:1608.00859, section 3.3). As in the authors' code,
    the two sides are at most one step of the scale apart, so that no picture is distorted much.
    """
    sides = [max(int(min(height, width) * scale), 1) for scale in MULTI_SCALES]
    pairs = [(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1]
    box_height, box_width = pairs[int(rng.integers(len(pairs)))]
    bottom, right = height - box_height, width - box_width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    top, left = corners[int(rng.integers(len(corners)))]
    return Box(top=top, left=left, height=box_height, width=box_width)


def centre_crop(height: int, width: int, share: float = 1.0) -> Box:
    """The centred square whose side is `share` of the short side. 1 is what scaling the short side to the crop's size and
    cutting the centre leaves, 224/256 what scaling it to 256 and cutting 224 out does."""
    side = max(round(min(height, width) * share), 1)
    return Box(top=(height - side) // 2, left=(width - side) // 2, height=side, width=side)


def three_crops(height: int, width: int, share: float = 1.0) -> list[Box]:
    """Squares at the two ends of the longer side and in its middle, with a side that is `share` of the short side. The
    largest, of share 1, together see the whole frame.

    The test-time views of non-local networks (arXiv:1711.07971, section 5).
    """
    side = max(round(min(height, width) * share), 1)
    places = [(at, 0.5) if height > width else (0.5, at) for at in (0, 0.5, 1)]
    return [Box(top=round((height - side) * y), left=round((width - side) * x), height=side, width=side) for y, x in places]


def evaluated_squares(height: int, width: int, crops: int, share: float) -> list[Box]:
    """The parts of a frame that evaluation takes: the centre, or with 3 `crops` those along the longer side."""
    return three_crops(height, width, share) if crops == 3 else [centre_crop(height, width, share)]


CROPS: dict[Crop, Callable[[int, int, Range, Range, np.random.Generator], Box]] = {
    "resized": random_resized_crop,
    "multiscale": lambda height, width, scale, ratio, rng: multi_scale_crop(height, width, rng),
    "centre": lambda height, width, scale, ratio, rng: centre_crop(height, width),
}
"""Crops to train on, by the name in a recipe: (height, width, crop_scale, crop_ratio, rng) to a box."""


def decode_clip(jpegs: Sequence[Buffer], box: Box, flip: bool, out_THWC: Bytes) -> None:
    """Decode, crop and resize each JPEG once, into `out_THWC`: quickly, for training.

    A box of four times the pixels wanted or more is decoded at half the size (or a quarter, or an eighth), which averages
    pixels within the DCT, and is quicker than decoding them all. What is left to shrink, a factor below two (the mean of
    both sides), is done bilinearly.

    Args:
        jpegs: the frames, all of one size.
        box: the part of the frame to take.
        flip: mirror left and right.
        out_THWC: where to write, (len(jpegs), size, size, 3) RGB uint8.
    """
    size = out_THWC.shape[1]
    height, width = frame_size(jpegs[0])
    by = reduction(box, size)
    part = (
        slice(round(box.top / by), round((box.top + box.height) / by)),
        slice(round(box.left / by), round((box.left + box.width) / by)),
    )
    least = {"min_height": -(-height // by), "min_width": -(-width // by), "min_factor": by} if by > 1 else {}
    for t, jpeg in enumerate(jpegs):
        image_HWC = simplejpeg.decode_jpeg(jpeg, "RGB", **least)
        cv2.resize(image_HWC[part], (size, size), dst=out_THWC[t])
    if flip:
        rows = out_THWC.reshape(-1, size, 3)
        cv2.flip(rows, 1, dst=rows)


def decode_views(jpegs: Sequence[Buffer], boxes: Sequence[Box], out_CTHWC: Bytes) -> None:
    """Decode each JPEG once, crop and resize it once a box, into `out_CTHWC`: exactly, for evaluation.

    Every pixel is decoded and resized as in the paper's test code (arXiv:2004.04968), by Pillow's bilinear filter, which
    widens with the factor and so averages over all that a new pixel covers.

    Args:
        jpegs: the frames, all of one size.
        boxes: the parts of the frame to take, one clip each.
        out_CTHWC: where to write, (boxes, len(jpegs), size, size, 3) RGB uint8.
    """
    size = out_CTHWC.shape[2]
    for t, jpeg in enumerate(jpegs):
        image = Image.fromarray(simplejpeg.decode_jpeg(jpeg, "RGB"))
        for c, box in enumerate(boxes):
            edges = (box.left, box.top, box.left + box.width, box.top + box.height)
            out_CTHWC[c, t] = image.resize((size, size), Image.Resampling.BILINEAR, edges)


def reduction(box: Box, size: int) -> int:
    """The factor by which to shrink a frame in decoding, 1, 2, 4 or 8, so that the box keeps at least size x size pixels."""
    by = 1
    while by < 8 and box.height * box.width >= (2 * by * size) ** 2:
        by *= 2
    return by


def jitter_colour(clip_THWC: Bytes, brightness: float, contrast: float, saturation: float) -> None:
    """Multiply the clip's brightness, its distance from its mean grey, and each pixel's from its own grey, in that order.

    The clip is changed in place. All three are linear, so they are one 3 x 4 matrix a clip and one pass over its bytes; only
    the result is cut to 0..255.
    """
    rows = clip_THWC.reshape(-1, clip_THWC.shape[-2], 3)
    mean_grey = brightness * float(np.dot(GREY, cv2.mean(rows)[:3]))
    matrix = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * np.tile(GREY, (3, 1)))
    shift = np.full((3, 1), (1 - contrast) * mean_grey)
    cv2.transform(rows, np.hstack([matrix, shift]), dst=rows)


def frame_size(jpeg: Buffer) -> tuple[int, int]:
    """(height, width) of a frame, from its JPEG header."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    return height, width
