"""What an evaluation found, and the report folder it becomes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.metrics import Metrics, wilson_interval
from eval.report.page import render
from eval.report.strips import Strips
from preprocess.catalog import SplitSource
from preprocess.common import files
from preprocess.frame_settings import FrameSettings
from train.checkpoint import CheckpointMetadata
from train.config import ClipConfig
from train.sampling import Views
from train.scoring import VideoScore

RESULTS, PER_CLASS, PER_VIDEO, REPORT = "results.json", "per_class.csv", "per_video.csv", "report.html"
PREDICTIONS, PREDICTIONS_TOP = "predictions.json", 5
SCHEMA = 1
ANOTHER_SPLIT = "the checkpoint was trained on records with another split: it may have seen test videos of these"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics, scores and their sources; `missing` listed test videos were not scored."""

    metrics: Metrics
    scores: tuple[VideoScore, ...]
    class_names: tuple[str, ...]
    dataset: str
    split: str
    missing: int
    meta: CheckpointMetadata
    clip: ClipConfig
    views: Views
    checkpoint: Path
    checkpoint_sha256: str
    records: Path
    records_sha256: str
    seconds: float
    ranks: int
    strips: Strips
    split_source: SplitSource
    frame_settings: FrameSettings
    splits_sha256: str
    """What the records' manifest says."""

    @property
    def trained_on_another_split(self) -> bool:
        """Whether the records that the checkpoint was trained on had other flags; False where either does not say."""
        hashes = {self.meta.splits_sha256, self.splits_sha256} - {""}
        return self.meta.dataset == self.dataset and len(hashes) == 2

    def headline(self) -> list[str]:
        """The figures as text, each with its denominator."""
        f = self.metrics
        low, high = wilson_interval(f.top1, f.videos)
        absent = f"; {self.missing} listed videos are missing and not counted" if self.missing else ""
        chosen = "; THE CHECKPOINT WAS CHOSEN ON THE TEST LIST" if self.meta.chosen_on == "test" else ""
        tested = " with test videos" if f.classes < len(self.class_names) else ""
        another = [ANOTHER_SPLIT] if self.trained_on_another_split else []
        return [
            f"top-1 {f.top1:.1%} of {f.videos} videos (95 % interval {low:.1%} to {high:.1%}){absent}{chosen}",
            f"top-5 {f.top5:.1%} of {f.videos} videos",
            f"one clip alone {f.clip_top1:.1%} of {f.clips} clips",
            f"mean over classes {f.mean_class_accuracy:.1%} of {f.classes} classes{tested}",
            f"split {self.split}, drawn {self.split_source}",
            *another,
        ]

    def as_json(self) -> dict[str, Any]:
        """What results.json holds."""
        f = self.metrics
        return {
            "schema": SCHEMA,
            "top1": f.top1,
            "top5": f.top5,
            "videos": f.videos,
            "missing_videos": self.missing,
            "top1_interval95": wilson_interval(f.top1, f.videos),
            "clip_top1": f.clip_top1,
            "clips": f.clips,
            "mean_class_accuracy": f.mean_class_accuracy,
            "classes_with_videos": f.classes,
            "dataset": self.dataset,
            "split": self.split,
            "split_source": asdict(self.split_source),
            "split_source_text": str(self.split_source),
            "splits_sha256": self.splits_sha256,
            "trained_on_another_split": self.trained_on_another_split,
            "frame_settings": asdict(self.frame_settings),
            "frame_settings_text": str(self.frame_settings),
            "class_names": list(self.class_names),
            "confusion": f.confusion_KK.tolist(),
            "seconds": round(self.seconds, 3),
            "clips_per_s": round(f.clips / self.seconds, 2),
            "ranks": self.ranks,
            "protocol": protocol(self.clip, self.views),
            "views": asdict(self.views),
            "stride": self.clip.stride,
            "checkpoint": str(self.checkpoint),
            "checkpoint_sha256": self.checkpoint_sha256,
            "trained": asdict(self.meta),
            "records": str(self.records),
            "records_sha256": self.records_sha256,
            "evaluated": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }


def protocol(clip: ClipConfig, views: Views) -> str:
    """The protocol as text."""
    apart = f", {clip.stride} apart" if clip.stride > 1 else ""
    number = f"{views.clips} windows of {clip.frames} frames{apart}, spread over the video"
    if not views.clips:
        number = f"windows of {clip.frames} frames{apart}, without overlap, the last looped"
    crops = "three crops along the longer side" if views.crops == 3 else "centre crop"
    mirrored = ", each mirrored too" if views.flip else ""
    scaled = f" of a short side of {clip.test_short_side}" if clip.test_short_side else ""
    return f"{number}; {crops} at {clip.size}{scaled}{mirrored}; softmax averaged over a video's windows"


def predictions(evaluation: Evaluation) -> dict[str, Any]:
    """The best classes of each video in the field's JSON, that of the paper's authors: {"results": {video: [{"label",
    "score"}, ...]}}, best first; scores as they are, not rounded."""
    return {
        "results": {
            video.video_id: best_classes(video.score_K, evaluation.class_names, PREDICTIONS_TOP)
            for video in evaluation.scores
        }
    }


def best_classes(score_K: NDArray[np.float64], class_names: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The classes of the `most` highest scores, best first; equal scores in the order of the classes."""
    order = np.argsort(-score_K, kind="stable")[:most]
    return [{"label": class_names[label], "score": float(score_K[label])} for label in order]


def per_class_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row a class: its label, test videos, hits, accuracy (empty where it has no video), most frequent mistake."""
    confusion_KK = evaluation.metrics.confusion_KK
    rows = []
    for label, name in enumerate(evaluation.class_names):
        mistakes = confusion_KK[label].copy()
        mistakes[label] = 0
        rows.append(
            {
                "label": label,
                "class": name,
                "videos": int(confusion_KK[label].sum()),
                "hits": int(confusion_KK[label, label]),
                "accuracy": evaluation.metrics.per_class_K[label],
                "mostly_taken_for": evaluation.class_names[mistakes.argmax()] if mistakes.any() else "",
            }
        )
    return pd.DataFrame(rows)


def per_video_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row a video: its class, the predicted one with its score, its own class's score, its windows."""
    names = evaluation.class_names
    return pd.DataFrame(
        [
            {
                "class": names[video.label],
                "video_id": video.video_id,
                "predicted": names[video.score_K.argmax()],
                "hit": bool(video.score_K.argmax() == video.label),
                "score": round(float(video.score_K.max()), 6),
                "score_of_class": round(float(video.score_K[video.label]), 6),
                "clips": video.clips,
            }
            for video in evaluation.scores
        ]
    )


def write_report(evaluation: Evaluation, folder: Path) -> None:
    """Write the whole report folder, replacing one that is there at once."""
    per_class, per_video = per_class_table(evaluation), per_video_table(evaluation)
    with files.folder_by_rename(folder, replaces=folder.exists()) as building:
        per_class.to_csv(building / PER_CLASS, index=False)
        per_video.to_csv(building / PER_VIDEO, index=False)
        files.write_text(building / REPORT, render(evaluation.as_json(), per_class, per_video, evaluation.strips))
        files.write_json(building / PREDICTIONS, predictions(evaluation))
        files.write_json(building / RESULTS, evaluation.as_json())
