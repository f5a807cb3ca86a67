"""Videos as files to windows, through the steps that records go through: decoded, scaled, JPEG, cropped, resized."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mindrecord.manifest import Manifest
from preprocess import jpeg
from preprocess.annotations.find_videos import VIDEO_SUFFIXES, list_videos
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.decoding.backends import open_video
from preprocess.decoding.types import DecodeError
from preprocess.frame_settings import FrameSettings, different
from train.checkpoint import CheckpointMetadata
from train.config import ClipConfig
from train.sampling import windows
from train.transforms import Box, centre_crop, decode_views, frame_size


def find_clips(paths: Sequence[Path]) -> list[Path]:
    """The files named, and the videos in the folders named, sorted.

    Raises:
        InputError: there is none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: give videos, or folders of videos")
        inside = [path / name for name in list_videos(path)] if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path} has no video: they end in {', '.join(VIDEO_SUFFIXES)}")
        found += inside
    return found


def jpegs_of(path: Path, settings: FrameSettings) -> Iterator[bytes]:
    """The frames of a video as preprocess/extract_frames.py stores them with these settings.

    Raises:
        DecodeError: the video cannot be opened, or decoding breaks off and the settings do not keep what comes before.
    """
    count = 0
    try:
        for picture in open_video(path, settings.short_side, settings.selection(), settings.backend).pictures:
            yield jpeg.encode(picture, settings.quality)
            count += 1
    except DecodeError:
        if count == 0 or not settings.keep_partial:
            raise


def stored_fps(path: Path, settings: FrameSettings) -> float:
    """Frames a second of what `jpegs_of` yields."""
    return settings.stored_fps(open_video(path, settings.short_side, settings.selection(), settings.backend).info.fps)


def frame_settings_of(meta: CheckpointMetadata, checkpoint: Path) -> FrameSettings:
    """What shaped the frames that a checkpoint was trained on. Prints what is assumed of a checkpoint that does not say."""
    if meta.frame_settings:
        return meta.frame_settings
    assumed = FrameSettings()
    say(f"{checkpoint} does not say how its frames were made: assuming extract_frames.py's defaults, {assumed}")
    return assumed


def print_other_frames(meta: CheckpointMetadata, checkpoint: Path, packed: Manifest, records: Path) -> None:
    """Print in what a checkpoint was trained on other frames than records hold, if so."""
    other = different(meta.frame_settings, packed.frame_settings) if meta.frame_settings else ""
    if other:
        say(f"{checkpoint} was trained on frames of {other} as in {records}: scores may be lower")


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
