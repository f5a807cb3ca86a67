"""An evaluation in parts: each rank scores some of the windows, and the first rank puts the scores together.

Ranks need no communication but a folder that all of them see. Batches are cut from the windows of all videos in a row, and
ranks share out the batches: a window has the same place in the same batch for any number of ranks, and the same score to
the last bit. (The place matters: on the CPU, convolutions of the same clip at two places of a batch differ by 1e-7.)
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train.cluster import number

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


def windows_of_rank(counts: Sequence[int], batch_size: int, rank: Rank) -> list[tuple[int, int, int]]:
    """A rank's windows: (video, first window, end), given how many windows each video has.

    All windows in a row are cut into batches; ranks take runs of whole batches, whose numbers differ by one at most.
    """
    ends = np.cumsum(counts)
    batches = -(-int(ends[-1]) // batch_size)
    low, high = (batches * r // rank.ranks * batch_size for r in (rank.rank, rank.rank + 1))
    starts = ends - counts
    return [
        (video, max(low - int(start), 0), min(high, int(end)) - int(start))
        for video, (start, end) in enumerate(zip(starts, ends, strict=True))
        if start < high and end > low
    ]


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

    def publish(self, rank: int, score_WK: NDArray[np.float32]) -> None:
        """Write a rank's scores; they appear by rename."""
        with files.by_rename(self.path(rank)) as partial:
            np.save(partial, score_WK)

    def gather(self) -> list[NDArray[np.float32]]:
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
