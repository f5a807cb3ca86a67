"""Validation while training: the network as evaluation would see it, over whole videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from mindrecord.manifest import Manifest
from mindrecord.shard_reader import Video, videos_of_split
from preprocess.catalog import TEST, TRAIN
from preprocess.common.errors import InputError
from train import devices, evaluation_windows
from train.checkpoint import load_strictly
from train.config import Recipe
from train.holdout import held_out
from train.models import build_model
from train.sampling import Views
from train.scoring import Scorer, score_videos, share_of_rank
from train.training_data import TrainingData

LABELS = {"held_out": "held-out accuracy", "test": "accuracy on the TEST LIST"}
"""What the accuracy that chooses is called, by the recipe's choose_best_on."""


class Validator:
    """Top-1 of whole videos, by evaluation's protocol: softmax of every window, averaged over the video.

    Its network is one of its own, so that the training network's mode and statistics are left alone.
    """

    def __init__(self, recipe: Recipe, num_classes: int, videos: Sequence[Video], data: TrainingData) -> None:
        self.network = build_model(recipe.model.name, num_classes=num_classes, **recipe.model.options())
        self.scorer = Scorer(self.network, recipe.clip)
        self.recipe = recipe
        self.videos = videos
        self.data = data
        views = Views(crops=recipe.clip.test_crops)
        self.counts = [views.count(video.frames, recipe.clip.frames, recipe.clip.stride) for video in videos]
        self.windows = sum(self.counts)

    def accuracy(self, weights: Mapping[str, ms.Parameter], check: Callable[[], None]) -> float:
        """The share of the videos that `weights`, by the network's names, get right.

        The ranks share the videos, and all must call this. Each calls `check` after each batch, as often as all others, so
        that it may be something in which ranks wait for each other: they never do so for longer than a batch takes.
        """
        load_strictly(self.network, dict(weights), "the network that validates is not the one that trains")
        recipe, data, counts = self.recipe, self.data, self.counts
        shares = [share_of_rank(counts, recipe.batch_size, rank, data.ranks) for rank in range(data.ranks)]
        batches = [-(-(share.place + sum(counts[n] for n in share.videos)) // recipe.batch_size) for share in shares]
        own = shares[data.rank]

        def scored(clip_NTHWC: ms.Tensor) -> ms.Tensor:
            score_NK = self.scorer(clip_NTHWC)
            check()
            return score_NK

        windows_of = evaluation_windows.whole_videos([self.videos[n] for n in own.videos], recipe.clip, workers=data.workers)
        scores = score_videos(scored, windows_of, recipe.batch_size, own.place)
        hits = sum(int(score.score_K.argmax() == score.label) for score in scores)
        clip = recipe.clip
        for _ in range(max(batches) - batches[data.rank]):  # as slow as the batches of the others
            scored(ms.Tensor(np.zeros((recipe.batch_size, clip.frames, clip.size, clip.size, 3), np.uint8)))
        return devices.sum_over_ranks([hits], data.ranks)[0] / len(self.videos)


def held_out_videos(records: Path, packed: Manifest, split: str, recipe: Recipe) -> frozenset[str]:
    """The names, Class/video_id, of the training videos that the recipe holds out; none where it does not.

    Raises:
        InputError: its share comes to no group at all.
    """
    if not recipe.val_fraction:
        return frozenset()
    candidates = videos_of_split(records, packed, split, TRAIN)
    names = held_out(candidates, recipe.val_fraction, recipe.seed)
    if not names:
        raise InputError(
            f"val_fraction {recipe.val_fraction} of the {len(candidates)} training videos of split {split} is less than any "
            "group of them: choose a larger one"
        )
    return names


def validation_videos(records: Path, packed: Manifest, split: str, recipe: Recipe, names: frozenset[str]) -> list[Video]:
    """The videos that choose the best checkpoint: those held out, or the test list; none if no checkpoint is chosen."""
    if recipe.choose_best_on == "test":
        return videos_of_split(records, packed, split, TEST)
    videos = videos_of_split(records, packed, split, TRAIN) if names else []
    return [video for video in videos if video.name in names]


def weights_of(network: nn.Cell, averages: Mapping[str, ms.Tensor] | None) -> dict[str, ms.Parameter]:
    """The network's parameters by name, as evaluation would load them: averaged where the step averages."""
    weights = {parameter.name: parameter for parameter in network.get_parameters()}
    return weights | {name: ms.Parameter(value, name=name) for name, value in (averages or {}).items()}
