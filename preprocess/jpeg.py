"""A picture to a JPEG file's bytes, by libjpeg-turbo."""

from __future__ import annotations

import numpy as np
import simplejpeg

from preprocess.decoding.types import Picture, Plane


def encode(picture: Picture, quality: int) -> bytes:
    """Encode at 4:2:0. Planes go in as they are; RGB is converted by libjpeg-turbo (JFIF 1.02, which is BT.601)."""
    if isinstance(picture, tuple):
        y, u, v = picture
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(pad_luma_to_even(y), u, v, quality=quality)
    else:
        jpeg = simplejpeg.encode_jpeg(picture, quality=quality, colorspace="RGB", colorsubsampling="420")
    return jpeg


def pad_luma_to_even(luma: Plane) -> Plane:
    """The same pixels, lying in memory of even height and width whose last row and column repeat the picture's.

    libjpeg-turbo reads a luma plane of 4:2:0 up to the next even number (TurboJPEG API, tj3CompressFromYUVPlanes8): of an
    odd one it takes whatever comes next in memory into the blocks at the edge.
    """
    height, width = luma.shape
    if height % 2 == 0 and width % 2 == 0:
        return luma
    ground = np.empty((height + height % 2, width + width % 2), np.uint8)
    ground[:height, :width] = luma
    ground[height:, :width] = luma[-1]
    ground[:, width:] = ground[:, width - 1 : width]
    return ground[:height, :width]


def size(picture: Picture) -> tuple[int, int]:
    """(height, width) of a picture."""
    plane = picture[0] if isinstance(picture, tuple) else picture
    return plane.shape[0], plane.shape[1]
