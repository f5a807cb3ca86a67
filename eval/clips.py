"""Videos as files to windows, through the steps that records go through: decoded, scaled, JPEG, cropped, resized."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from preprocess import extraction, jpeg
from preprocess.annotations.on_disk import VIDEO_SUFFIXES, list_videos
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.decode import open_video
from preprocess.selection import Selection
from train.config import ClipConfig
from train.sampling import windows
from train.transforms import Box, centre_crop, decode_views, frame_size

T = TypeVar("T")
SHORT_SIDE, QUALITY = extraction.Options.short_side, extraction.Options.quality
TEXT_SIZE, MARGIN = 15, 6


def find_clips(paths: Sequence[Path]) -> list[Path]:
    """The files named, and the videos in the folders named, sorted. Raises InputError when there is none."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: give videos, or folders of videos")
        inside = [path / name for name in list_videos(path)] if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path} has no video: they end in {', '.join(VIDEO_SUFFIXES)}")
        found += inside
    return found


def jpegs_of(path: Path) -> Iterator[bytes]:
    """The frames of a video as preprocess/extract_frames.py stores them by default. Raises DecodeError as decoding does."""
    for picture in open_video(path, SHORT_SIDE, Selection()).pictures:
        yield jpeg.encode(picture, QUALITY)


def windows_of(jpegs: Iterable[bytes], clip: ClipConfig) -> Iterator[NDArray[np.uint8]]:
    """The windows_THWC of a video without overlap, the last looped, in the centre square; holds one window at a time."""
    frames = iter(jpegs)
    while stretch := list(islice(frames, clip.frames * clip.stride)):
        (index_T,) = windows(len(stretch), clip.frames, clip.stride)
        wanted, place = np.unique(index_T, return_inverse=True)
        frames_CFHWC = np.empty((1, len(wanted), clip.size, clip.size, 3), np.uint8)
        decode_views([stretch[i] for i in wanted], [square(stretch[0], clip)], frames_CFHWC)
        yield frames_CFHWC[0, place]


def square(frame: bytes, clip: ClipConfig) -> Box:
    """The centre square of a frame, which the network sees."""
    return centre_crop(*frame_size(frame), clip.test_share)


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
