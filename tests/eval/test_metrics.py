from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics import compute_metrics, most_confused, rank_of_label, wilson_interval


def test_figures_by_hand() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.4, 0.5, 0.1]])
    found = compute_metrics(scores, np.array([0, 1, 1, 0]), clip_correct=5, clips=8)
    assert (found.top1, found.top5, found.videos) == (0.5, 1.0, 4)
    assert (found.clip_top1, found.clips) == (0.625, 8)
    assert found.confusion_KK.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert (found.mean_class_accuracy, found.classes) == (0.5, 2)  # the class without videos counts for nothing
    assert np.isnan(found.per_class_K[2])


def test_top5_misses_the_sixth() -> None:
    scores = np.tile(np.arange(6, 0, -1) / 21, (2, 1))
    assert compute_metrics(scores, np.array([4, 5]), 0, 2).top5 == 0.5


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=4, max_size=4), min_size=1, max_size=8), st.integers(0, 3)
)
def test_the_rank_is_the_place_in_a_stable_sort(rows: list[list[float]], label: int) -> None:
    scores = np.array(rows)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = [list(row).index(label) for row in order]
    assert rank_of_label(scores, np.full(len(rows), label)).tolist() == expected


@pytest.mark.parametrize(
    ("share", "count", "interval"),
    [
        (0.5, 100, (0.4038, 0.5962)),
        (0.0, 10, (0.0, 0.2775)),
        (1.0, 10, (0.7225, 1.0)),
        (81 / 263, 263, (0.2553, 0.3662)),
    ],
)
def test_wilson_interval_against_published_values(share: float, count: int, interval: tuple[float, float]) -> None:
    assert wilson_interval(share, count) == pytest.approx(interval, abs=2e-4)


def test_the_most_confused_pairs_come_first_and_hits_never() -> None:
    confusion = np.array([[9, 2, 0], [5, 1, 2], [0, 0, 3]])
    assert most_confused(confusion, 2) == [(1, 0, 5), (0, 1, 2)]
