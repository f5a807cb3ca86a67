"""The windows of whole videos, as evaluation and validation take them, decoded ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mindrecord.shard_reader import Video, read_frames
from preprocess.common.cpus import available_cpus
from train.config import ClipConfig
from train.sampling import Views
from train.transforms import decode_views, evaluated_squares, frame_size


def whole_videos(
    videos: Sequence[Video], clip: ClipConfig, views: Views | None = None, workers: int = 0
) -> Iterator[tuple[Video, NDArray[np.uint8]]]:
    """The videos one by one, each with its windows_WTHWC uint8, decoded ahead by `workers` threads (0: one a CPU).

    Without `views` the windows are all without overlap, in the clip's test_crops; see `decode_windows`.
    """
    views = views or Views(crops=clip.test_crops)
    workers = workers or available_cpus()
    pending: deque[tuple[Video, Future[NDArray[np.uint8]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for video in videos:
                pending.append((video, pool.submit(decode_windows, video, clip, views)))
                if len(pending) > workers:
                    video, windows_WTHWC = pending.popleft()
                    yield video, windows_WTHWC.result()
            while pending:
                video, windows_WTHWC = pending.popleft()
                yield video, windows_WTHWC.result()
        finally:
            pool.shutdown(cancel_futures=True)


def decode_windows(video: Video, clip: ClipConfig, views: Views) -> NDArray[np.uint8]:
    """A video's windows_WTHWC uint8. Each frame is read and decoded once, however many windows share it.

    All windows of the first square come first, then those of the next; the mirrored ones come last.
    """
    index_WT = views.windows(video.frames, clip.frames, clip.stride)
    wanted, place = np.unique(index_WT, return_inverse=True)
    jpegs = read_frames(video, wanted)
    boxes = evaluated_squares(*frame_size(jpegs[0]), views.crops, clip.test_share)
    frames_CFHWC = np.empty((len(boxes), len(jpegs), clip.size, clip.size, 3), np.uint8)
    decode_views(jpegs, boxes, frames_CFHWC)
    if views.flip:
        frames_CFHWC = np.concatenate([frames_CFHWC, frames_CFHWC[:, :, :, ::-1]])
    windows_CWTHWC: NDArray[np.uint8] = frames_CFHWC[:, place.reshape(index_WT.shape)]
    return windows_CWTHWC.reshape(-1, *windows_CWTHWC.shape[2:])
