from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest

from preprocess.catalog import Video
from train.config import ClipConfig
from train.scoring import Scorer, score_videos

CLIP = ClipConfig(
    frames=2, stride=1, size=4, crop_scale=(0.5, 1.0), crop_ratio=(0.75, 1.3), flip=0.0, mean=(0.0,) * 3, std=(1.0,) * 3
)


class FirstPixels(ms.nn.Cell):
    """Logits that are the first pixel's three colours, so that what each window should score is known."""

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        return clip_NCTHW[:, :, 0, 0, 0] * 5


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max())
    return e / e.sum()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8, 64])
def test_every_window_counts_once_in_its_own_video_whatever_the_batch(batch_size: int) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    rng = np.random.default_rng(0)
    videos = [
        (
            Video(class_name="c", video_id=f"v{i}", label=i % 3, path="", flags=(2,)),
            rng.integers(0, 256, (count, 2, 4, 4, 3), np.uint8),
        )
        for i, count in enumerate([1, 5, 2, 2, 7, 1, 3])
    ]
    shapes: list[Any] = []
    scorer = Scorer(FirstPixels(), CLIP)
    found = list(score_videos(lambda batch: shapes.append(batch.shape) or scorer(batch), videos, batch_size))
    assert set(shapes) == {(batch_size, 2, 4, 4, 3)}
    assert len(shapes) == -(-21 // batch_size)
    assert [(v.video_id, v.label, v.clips) for v in found] == [(v.video_id, v.label, len(w)) for v, w in videos]
    for score, (video, windows) in zip(found, videos, strict=True):
        each = np.stack([softmax(window[0, 0, 0] / 255 * 5) for window in windows])
        assert np.abs(score.score_K - each.mean(axis=0)).max() < 1e-6
        assert score.clip_correct == (each.argmax(axis=1) == video.label).sum()
