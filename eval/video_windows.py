"""Videos as files to windows, through the steps that records go through: decoded, scaled, JPEG, cropped, resized."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import extract_dataset, jpeg
from preprocess.annotations.find_videos import VIDEO_SUFFIXES, list_videos
from preprocess.common.errors import InputError
from preprocess.decoding.backends import open_video
from preprocess.frame_selection import Selection
from train.config import ClipConfig
from train.sampling import windows
from train.transforms import Box, centre_crop, decode_views, frame_size

SHORT_SIDE, QUALITY = extract_dataset.Options.short_side, extract_dataset.Options.quality


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
