"""A network over the windows of whole videos: softmax of each window, averaged over each video."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from numpy.typing import NDArray

from preprocess.catalog import VideoKey
from train import devices
from train.config import ClipConfig, PrecisionConfig
from train.models.normalize_input import NormalizeInput


class Labelled(Protocol):
    """A video and its class's number."""

    @property
    def class_name(self) -> str:
        """Its class."""

    @property
    def video_id(self) -> str:
        """Its id in the class."""

    @property
    def label(self) -> int:
        """The class's number."""


@dataclass(frozen=True, kw_only=True)
class VideoScore(VideoKey):
    """One video's scores: `score_K` is the mean softmax over its windows, `clip_correct` how many were right alone."""

    label: int
    score_K: NDArray[np.float64]
    clips: int
    clip_correct: int


def for_inference(network: nn.Cell, clip: ClipConfig) -> nn.Cell:
    """uint8 clip_NTHWC -> what `network` gives, in inference mode and in the device's own precision. Changes `network`."""
    return NormalizeInput(devices.cast_network(network, PrecisionConfig(level="auto")), clip.mean, clip.std).set_train(False)


class Scorer(nn.Cell):
    """uint8 clip_NTHWC -> softmax_NK, in inference mode and in the device's own precision."""

    def __init__(self, network: nn.Cell, clip: ClipConfig) -> None:
        super().__init__(auto_prefix=False)
        self.logits = for_inference(network, clip)
        self.set_train(False)

    def construct(self, clip_NTHWC: ms.Tensor) -> ms.Tensor:
        return ops.softmax(self.logits(clip_NTHWC), axis=1)


@dataclass(frozen=True)
class Share:
    """The videos that one of several ranks scores. `place` is that of their first window in its batch.

    The windows of all videos in a row are cut into batches. A window has the same place in its batch for any number of
    ranks, and so the same score to the last bit. (On the CPU, convolutions of one clip at two places differ by 1e-7.)
    """

    videos: range
    place: int


def share_of_rank(counts: Sequence[int], batch_size: int, rank: int, ranks: int) -> Share:
    """The rank's share of videos with these numbers of windows: whole videos, and nearly equal parts of the windows."""
    starts = np.cumsum(counts) - counts
    low, high = (int(start) for start in np.searchsorted(starts, sum(counts) * np.array([rank, rank + 1]) // ranks))
    return Share(range(low, high), int(starts[low]) % batch_size if low < high else 0)


def score_windows(
    scorer: Callable[[ms.Tensor], ms.Tensor], windows: Iterable[NDArray[np.uint8]], batch_size: int, place: int = 0
) -> Iterator[NDArray[np.float32]]:
    """The score_K of each window_THWC, in order; the first is at this place in its batch.

    Batches are always of one shape (the graph is compiled once); what is left of them is zeros, whose scores are dropped.
    """
    rest = iter(windows)
    while batch := list(islice(rest, batch_size - place)):
        clip_NTHWC = np.zeros((batch_size, *batch[0].shape), np.uint8)
        clip_NTHWC[place : place + len(batch)] = batch
        yield from scorer(ms.Tensor(clip_NTHWC)).asnumpy()[place : place + len(batch)]
        place = 0


def video_score(video: Labelled, score_WK: NDArray[np.float32]) -> VideoScore:
    """A video's score from those of its windows."""
    return VideoScore(
        class_name=video.class_name,
        video_id=video.video_id,
        label=video.label,
        score_K=score_WK.astype(np.float64).mean(axis=0),
        clips=len(score_WK),
        clip_correct=int((score_WK.argmax(axis=1) == video.label).sum()),
    )


def score_videos(
    scorer: Callable[[ms.Tensor], ms.Tensor],
    videos: Iterable[tuple[Labelled, NDArray[np.uint8]]],
    batch_size: int,
    place: int = 0,
) -> Iterator[VideoScore]:
    """Score each video, given with its windows_WTHWC, and yield it; `place` as in `score_windows`.

    Windows of neighbouring videos fill batches together. Every window of every video counts exactly once.
    """
    waiting: deque[tuple[Labelled, int]] = deque()  # videos whose scores are not all there, and their numbers of windows

    def windows() -> Iterator[NDArray[np.uint8]]:
        for video, windows_WTHWC in videos:
            waiting.append((video, len(windows_WTHWC)))
            yield from windows_WTHWC

    scores: list[NDArray[np.float32]] = []
    for score_K in score_windows(scorer, windows(), batch_size, place):
        scores.append(score_K)
        if len(scores) == waiting[0][1]:
            yield video_score(waiting.popleft()[0], np.stack(scores))
            scores = []
