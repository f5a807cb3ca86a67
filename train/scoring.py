"""A network over the windows of whole videos: softmax of each window, averaged over each video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from numpy.typing import NDArray

from train.config import ClipConfig
from train.models.from_bytes import FromBytes


@dataclass(frozen=True)
class VideoScore:
    """One video's scores: `score_K` is the mean over its windows of the softmax, `clip_hits` how many were right alone."""

    class_name: str
    video_id: str
    label: int
    score_K: NDArray[np.float64]
    clips: int
    clip_hits: int


class Scorer(nn.Cell):
    """uint8 clip_NTHWC -> softmax_NK, in inference mode."""

    def __init__(self, network: nn.Cell, clip: ClipConfig) -> None:
        super().__init__(auto_prefix=False)
        self.logits = FromBytes(network, clip.mean, clip.std)
        self.set_train(False)

    def construct(self, clip_NTHWC: ms.Tensor) -> ms.Tensor:
        return ops.softmax(self.logits(clip_NTHWC), axis=1)


def score_videos(
    scorer: Scorer, videos: Iterable[tuple[str, str, int, NDArray[np.uint8]]], batch_size: int
) -> Iterator[VideoScore]:
    """Score each (class name, video id, label, windows_WTHWC) and yield it.

    Windows of neighbouring videos fill batches together, always of one shape (the graph is compiled once); the last batch
    is filled with zeros, whose scores are dropped. Every window of every video counts exactly once.
    """
    waiting: list[tuple[str, str, int, int]] = []  # videos whose scores are not all there, in order; last: their windows
    scores: list[NDArray[np.float32]] = []  # of the waiting videos' windows, in order
    batch: list[NDArray[np.uint8]] = []

    def run() -> None:
        filled = len(batch)
        batch.extend([np.zeros_like(batch[0])] * (batch_size - filled))
        scores.extend(scorer(ms.Tensor(np.stack(batch))).asnumpy()[:filled])
        batch.clear()

    def finished(at_end: bool) -> Iterator[VideoScore]:
        while waiting and (at_end or len(scores) >= waiting[0][3]):
            class_name, video_id, label, count = waiting.pop(0)
            score_WK = np.stack(scores[:count]).astype(np.float64)
            del scores[:count]
            hits = int((score_WK.argmax(axis=1) == label).sum())
            yield VideoScore(class_name, video_id, label, score_WK.mean(axis=0), count, hits)

    for class_name, video_id, label, windows_WTHWC in videos:
        waiting.append((class_name, video_id, label, len(windows_WTHWC)))
        for window_THWC in windows_WTHWC:
            batch.append(window_THWC)
            if len(batch) == batch_size:
                run()
        yield from finished(at_end=False)
    if batch:
        run()
    yield from finished(at_end=True)
