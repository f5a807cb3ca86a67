"""Which pixels of a frame make the network's input: crop boxes as pure functions, and one step from a JPEG to the buffer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from train.sampling import Indices

CROP_ATTEMPTS = 10
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, inside the frame."""

    top: int
    left: int
    height: int
    width: int


def random_resized_crop(
    height: int, width: int, scale: Sequence[float], ratio: Sequence[float], rng: np.random.Generator
) -> Box:
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
                int(rng.integers(height - box_height + 1)), int(rng.integers(width - box_width + 1)), box_height, box_width
            )
    aspect = min(max(width / height, ratio[0]), ratio[1])
    box_width, box_height = min(width, max(round(height * aspect), 1)), min(height, max(round(width / aspect), 1))
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def centre_crop(height: int, width: int) -> Box:
    """The largest centred square: what scaling the short side to the crop's size and cutting the centre leaves."""
    side = min(height, width)
    return Box((height - side) // 2, (width - side) // 2, side, side)


def decode_clip(jpegs: Bytes, offsets: Indices, frames: Indices, size: int, box: Box | None, flip: bool) -> Bytes:
    """Decode the frames wanted, each once, crop and resize each once: clip_THWC, (len(frames), size, size, 3) RGB uint8.

    Args:
        jpegs: the row's concatenated JPEGs, uint8.
        offsets: where each begins, with the end as one more.
        frames: which to take, 0-based; a frame may come several times.
        size: side of the square result, in pixels.
        box: the part of the frame to take; None is the centre crop of each frame.
        flip: mirror left and right.
    """
    clip_THWC = np.empty((len(frames), size, size, 3), np.uint8)
    placed: dict[int, int] = {}
    for t, frame in enumerate(frames.tolist()):
        if frame in placed:
            clip_THWC[t] = clip_THWC[placed[frame]]
            continue
        placed[frame] = t
        image_HWC = simplejpeg.decode_jpeg(jpegs[offsets[frame] : offsets[frame + 1]], colorspace="RGB")
        part = box or centre_crop(*image_HWC.shape[:2])
        crop_HWC = image_HWC[part.top : part.top + part.height, part.left : part.left + part.width]
        shrinks = part.height > size or part.width > size
        resized_HWC = cv2.resize(crop_HWC, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        clip_THWC[t] = resized_HWC[:, ::-1] if flip else resized_HWC
    return clip_THWC


def frame_size(jpegs: Bytes, offsets: Indices) -> tuple[int, int]:
    """(height, width) of a row's first frame, from its JPEG header; the others of a video are alike."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpegs[: offsets[1]])
    return height, width
