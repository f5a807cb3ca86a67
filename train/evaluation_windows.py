"""The windows of whole videos, as evaluation and validation take them, decoded ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindrecord.shard_reader import Video, read_frames
from preprocess.common.cpus import available_cpus
from train.config import ClipConfig
from train.sampling import Views
from train.transforms import decode_views, evaluated_squares, frame_size


def whole_videos(videos: Sequence[Video], clip: ClipConfig, workers: int = 0) -> Iterator[tuple[Video, NDArray[np.uint8]]]:
    """The videos one by one, each with its windows_WTHWC uint8, decoded ahead.

    The windows are all without overlap, in the clip's test_crops; see `decode_windows`.
    """
    views = Views(crops=clip.test_crops)
    parts = [VideoPart(video, 0, views.count(video.frames, clip.frames, clip.stride)) for video in videos]
    yield from zip(videos, decoded_ahead(parts, clip, views, workers), strict=True)


@dataclass(frozen=True)
class VideoPart:
    """The windows `first` to `end` - 1 of a video."""

    video: Video
    first: int
    end: int


def decoded_ahead(
    parts: Sequence[VideoPart], clip: ClipConfig, views: Views, workers: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """The windows_WTHWC of each part, in order, decoded ahead by `workers` threads (0: one a CPU)."""
    workers = workers or available_cpus()
    pending: deque[Future[NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in parts:
                pending.append(pool.submit(decode_windows, part, clip, views))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def decode_windows(part: VideoPart, clip: ClipConfig, views: Views) -> NDArray[np.uint8]:
    """A part's windows_WTHWC uint8. Each frame is read and decoded once, however many windows share it.

    All windows of the first square come first, then those of the next; the mirrored ones come last.
    """
    index_WT = views.windows(part.video.frames, clip.frames, clip.stride)
    square, window = np.divmod(np.arange(part.first, part.end), len(index_WT))
    wanted, place = np.unique(index_WT[window], return_inverse=True)
    jpegs = read_frames(part.video, wanted)
    boxes = evaluated_squares(*frame_size(jpegs[0]), views.crops, clip.test_share)
    frames_CFHWC = np.empty((len(boxes), len(jpegs), clip.size, clip.size, 3), np.uint8)
    decode_views(jpegs, boxes, frames_CFHWC)
    if views.flip:
        frames_CFHWC = np.concatenate([frames_CFHWC, frames_CFHWC[:, :, :, ::-1]])
    windows_WTHWC: NDArray[np.uint8] = frames_CFHWC[square[:, None], place.reshape(-1, clip.frames)]
    return windows_WTHWC
