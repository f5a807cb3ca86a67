"""Frames with text on them, written as an .mp4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from preprocess.common import files

TEXT_SIZE, MARGIN = 15, 6


def pixels(frame: bytes) -> NDArray[np.uint8]:
    """A JPEG as RGB."""
    return np.asarray(simplejpeg.decode_jpeg(frame, "RGB"), np.uint8)


def written(frame_HWC: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """The frame with lines of text at the top, on a dark ground."""
    image = Image.fromarray(frame_HWC)
    draw = ImageDraw.Draw(image, "RGBA")
    font = ImageFont.load_default(size=TEXT_SIZE)
    draw.rectangle((0, 0, image.width, len(lines) * (TEXT_SIZE + 3) + 2 * MARGIN), fill=(0, 0, 0, 150))
    for i, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + i * (TEXT_SIZE + 3)), line, fill=(255, 255, 255), font=font)
    return np.asarray(image, np.uint8)


def write_mp4(path: Path, fps: float, frames: Iterable[NDArray[np.uint8]]) -> None:
    """Write frames (H, W, 3), RGB, of one size as H.264; a last odd row or column is cut. The file appears by rename."""
    with files.by_rename(path) as partial, av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps) or 25, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for i, frame_HWC in enumerate(frames):
            height, width = (side // 2 * 2 for side in frame_HWC.shape[:2])
            if i == 0:
                stream.width, stream.height = width, height
            even = np.ascontiguousarray(frame_HWC[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
