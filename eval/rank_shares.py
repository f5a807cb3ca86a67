"""An evaluation in parts: each rank scores some of the videos, and the first rank puts the scores together.

Ranks need no communication but a folder that all of them see.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mindrecord.shard_reader import Video
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train.cluster import number
from train.scoring import VideoScore

POLL_S = 0.2
SAY_EVERY_S = 60.0


@dataclass(frozen=True)
class Rank:
    """One of `ranks` processes that share an evaluation, counted from 0."""

    rank: int = 0
    ranks: int = 1


def is_scheduler() -> bool:
    """Whether msrun started this process as the scheduler of its ranks; evaluation needs none."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def rank_of_environment() -> Rank:
    """What msrun, or whoever starts the ranks, says in RANK_ID and RANK_SIZE; one process alone when it says nothing."""
    found = Rank(number(os.environ, "RANK_ID", 0, least=0), number(os.environ, "RANK_SIZE", 1, least=1))
    if found.rank >= found.ranks:
        raise InputError(f"RANK_ID={found.rank} is not one of RANK_SIZE={found.ranks}, counted from 0")
    return found


def rows_of(scores: Sequence[VideoScore], classes: int) -> NDArray[np.float64]:
    """The videos' score_K and clip_correct, a row a video, to be sent to another rank."""
    rows = [[*score.score_K, score.clip_correct] for score in scores]
    return np.array(rows, np.float64).reshape(-1, classes + 1)


def score_of(video: Video, clips: int, row: NDArray[np.float64]) -> VideoScore:
    """The video's score that `rows_of` made a row of."""
    return VideoScore(
        class_name=video.class_name,
        video_id=video.video_id,
        label=video.label,
        score_K=row[:-1],
        clips=clips,
        clip_correct=int(row[-1]),
    )


class ScoreExchange:
    """The hidden folder next to the report where ranks leave their scores. `key` says what is scored, by which network."""

    def __init__(self, report: Path, key: str, rank: Rank) -> None:
        self.folder = report.with_name(f".{report.name}.parts")
        self.key = key
        self.ranks = rank.ranks
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path(rank.rank).unlink(missing_ok=True)

    def path(self, rank: int) -> Path:
        """A rank's file."""
        return self.folder / f"{self.key}-{rank}-of-{self.ranks}.npy"

    def publish(self, rank: int, scores: NDArray[np.float64]) -> None:
        """Write a rank's scores, a row a video; they appear by rename."""
        with files.by_rename(self.path(rank)) as partial:
            np.save(partial, scores)

    def gather(self) -> list[NDArray[np.float64]]:
        """Wait for the scores of all ranks but the first; returns them in order and removes their files."""
        began = said = time.monotonic()
        while waiting := [rank for rank in range(1, self.ranks) if not self.path(rank).is_file()]:
            time.sleep(POLL_S)
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                names = ", ".join(map(str, waiting))
                say(f"waiting for the scores of rank {names} in {self.folder} for {said - began:.0f} s")
        scores = []
        for rank in range(1, self.ranks):
            scores.append(np.load(self.path(rank)))
            self.path(rank).unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
        return scores
