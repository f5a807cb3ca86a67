"""From scores to metrics: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Accuracies as shares of 1, each with its denominator; `confusion_KK[i, j]` counts videos of class i called j.

    `per_class_K` is each class's top-1 share, NaN where it has no video; `mean_class_accuracy` averages the others.
    """

    top1: float
    top5: float
    videos: int
    clip_top1: float
    clips: int
    mean_class_accuracy: float
    classes: int
    per_class_K: NDArray[np.float64]
    confusion_KK: NDArray[np.int64]


def rank_of_label(scores_NK: NDArray[np.float64], label_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes stand before each row's own: 0 for a hit. Equal scores count in the order of the classes."""
    rows = np.arange(len(label_N))
    own_N1 = scores_NK[rows, label_N][:, None]
    earlier_NK = np.arange(scores_NK.shape[1])[None, :] < label_N[:, None]
    before_NK = (scores_NK > own_N1) | ((scores_NK == own_N1) & earlier_NK)
    ranks_N: NDArray[np.int64] = np.count_nonzero(before_NK, axis=1)
    return ranks_N


def compute_metrics(scores_VK: NDArray[np.float64], label_V: NDArray[np.int64], clip_correct: int, clips: int) -> Metrics:
    """The metrics of V videos, V >= 1, from their scores_VK; `clip_correct` of `clips` windows were right alone."""
    rank_V = rank_of_label(scores_VK, label_V)
    classes = scores_VK.shape[1]
    confusion_KK = np.zeros((classes, classes), np.int64)
    np.add.at(confusion_KK, (label_V, scores_VK.argmax(axis=1)), 1)
    count_K = confusion_KK.sum(axis=1)
    per_class_K = np.full(classes, np.nan)
    np.divide(confusion_KK.diagonal(), count_K, out=per_class_K, where=count_K > 0)
    return Metrics(
        top1=float((rank_V == 0).mean()),
        top5=float((rank_V < 5).mean()),
        videos=len(label_V),
        clip_top1=clip_correct / clips,
        clips=clips,
        mean_class_accuracy=float(np.nanmean(per_class_K)),
        classes=int((count_K > 0).sum()),
        per_class_K=per_class_K,
        confusion_KK=confusion_KK,
    )


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` trials (Wilson, J. Am. Stat. Assoc. 22, 1927, p. 209), count >= 1."""
    z = 1.96  # standard deviations of a normal distribution that hold 95 % of it
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (divided by n - 1; 0 of a single value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def most_confused(confusion_KK: NDArray[np.int64], most: int) -> list[tuple[int, int, int]]:
    """(true class, called, videos) of the largest entries off the diagonal, largest first, at most `most`, none of 0."""
    pairs = [(int(i), int(j), int(confusion_KK[i, j])) for i, j in zip(*confusion_KK.nonzero(), strict=True) if i != j]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))[:most]
