from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.catalog import Video
from train.config import ClipConfig
from train.scoring import Scorer, Share, VideoScore, score_videos, share_of_rank

CLIP = ClipConfig(
    frames=2, stride=1, size=4, crop_scale=(0.5, 1.0), crop_ratio=(0.75, 1.3), flip=0.0, mean=(0.0,) * 3, std=(1.0,) * 3
)


class FirstPixels(ms.nn.Cell):
    """Logits that are the first pixel's three colours, so that what each window should score is known."""

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        return clip_NCTHW[:, :, 0, 0, 0] * 5


def many_videos() -> list[tuple[Video, np.ndarray]]:
    """Seven videos with their windows, 21 of them."""
    rng = np.random.default_rng(0)
    return [
        (
            Video(class_name="c", video_id=f"v{i}", label=i % 3, path="", flags=(2,)),
            rng.integers(0, 256, (count, 2, 4, 4, 3), np.uint8),
        )
        for i, count in enumerate([1, 5, 2, 2, 7, 1, 3])
    ]


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max())
    return e / e.sum()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8, 64])
def test_every_window_counts_once_in_its_own_video_whatever_the_batch(batch_size: int) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    videos = many_videos()
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


@pytest.mark.parametrize(
    ("rank", "ranks", "videos", "place"),
    [(0, 1, range(3), 0), (0, 2, range(1), 0), (1, 2, range(1, 3), 1), (2, 3, range(2, 3), 3), (1, 4, range(1, 1), 0)],
)
def test_a_rank_s_share_by_table(rank: int, ranks: int, videos: range, place: int) -> None:
    assert share_of_rank([5, 2, 4], 4, rank, ranks) == Share(videos, place)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 6))
def test_ranks_together_score_every_video_once_each_window_at_its_place(
    counts: list[int], batch_size: int, ranks: int
) -> None:
    shares = [share_of_rank(counts, batch_size, rank, ranks) for rank in range(ranks)]
    assert [video for share in shares for video in share.videos] == list(range(len(counts)))
    for share in shares:
        assert not share.videos or share.place == sum(counts[: share.videos[0]]) % batch_size
    sizes = [sum(counts[video] for video in share.videos) for share in shares]
    assert max(sizes) - min(sizes) <= 2 * max(counts)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_scores_are_the_same_bits_for_any_number_of_ranks(ranks: int) -> None:
    """By a scorer that counts what a window scores by its place, as convolutions on the CPU do a little."""

    def by_place(clip_NTHWC: ms.Tensor) -> ms.Tensor:
        pixels_N3 = clip_NTHWC.asnumpy()[:, 0, 0, 0].astype(np.float32)
        return ms.Tensor(pixels_N3 + np.arange(len(pixels_N3), dtype=np.float32)[:, None])

    videos, counts = many_videos(), [1, 5, 2, 2, 7, 1, 3]
    scores: list[VideoScore] = []
    alone = list(score_videos(by_place, videos, 4))
    for rank in range(ranks):
        share = share_of_rank(counts, 4, rank, ranks)
        scores += score_videos(by_place, [videos[n] for n in share.videos], 4, share.place)
    assert [score.video_id for score in scores] == [score.video_id for score in alone]
    for score, expected in zip(scores, alone, strict=True):
        assert (score.score_K == expected.score_K).all()
        assert score.clip_correct == expected.clip_correct
