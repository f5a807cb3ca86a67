"""A picture to a JPEG file's bytes, by libjpeg-turbo."""

from __future__ import annotations

import simplejpeg

from preprocess.decode import Picture


def encode(picture: Picture, quality: int) -> bytes:
    """Encode at 4:2:0. Planes go in as they are; RGB is converted by libjpeg-turbo (JFIF 1.02, which is BT.601)."""
    if isinstance(picture, tuple):
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(*picture, quality=quality)
    else:
        jpeg = simplejpeg.encode_jpeg(picture, quality=quality, colorspace="RGB", colorsubsampling="420")
    return jpeg


def size(picture: Picture) -> tuple[int, int]:
    """(height, width) of a picture."""
    plane = picture[0] if isinstance(picture, tuple) else picture
    return plane.shape[0], plane.shape[1]
