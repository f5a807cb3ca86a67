"""Validation while training: the network as evaluation would see it, over whole videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import mindspore as ms
from mindspore import nn

from mindrecord.manifest import Manifest
from mindrecord.shard_reader import Video, videos_of_split
from preprocess.catalog import TEST, TRAIN
from preprocess.common.errors import InputError
from train import evaluation_windows
from train.checkpoint import load_strictly
from train.config import Recipe
from train.holdout import held_out
from train.models import build_model
from train.scoring import Scorer, score_videos

LABELS = {"held_out": "held-out accuracy", "test": "accuracy on the TEST LIST"}
"""What the accuracy that chooses is called, by the recipe's choose_best_on."""


class Validator:
    """Top-1 of whole videos, by evaluation's protocol: softmax of every window, averaged over the video.

    Its network is one of its own, so that the training network's mode and statistics are left alone.
    """

    def __init__(self, recipe: Recipe, num_classes: int, videos: Sequence[Video], workers: int) -> None:
        self.network = build_model(recipe.model.name, num_classes=num_classes, **recipe.model.options())
        self.scorer = Scorer(self.network, recipe.clip)
        self.recipe = recipe
        self.videos = videos
        self.workers = workers

    def accuracy(self, weights: Mapping[str, ms.Parameter], check: Callable[[], None]) -> float:
        """The share of the videos that `weights`, by the network's names, get right; `check` is called after each."""
        load_strictly(self.network, dict(weights), "the network that validates is not the one that trains")
        hits = 0
        windows_of = evaluation_windows.whole_videos(self.videos, self.recipe.clip, workers=self.workers)
        for score in score_videos(self.scorer, windows_of, self.recipe.batch_size):
            hits += int(score.score_K.argmax() == score.label)
            check()
        return hits / len(self.videos)


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
