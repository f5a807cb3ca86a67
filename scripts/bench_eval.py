"""Time evaluation against the network alone on the same windows, in turn, and print the ratio.

    python scripts/bench_eval.py --records work/records --checkpoint work/runs/mine/last.ckpt

Both sides score the windows of the same test videos in batches of the same size, in one process, after one batch that is not
counted (the graph is compiled in it). For the network alone they are decoded before; evaluation reads and decodes them ahead
of the network, in threads.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

from mindrecord import manifest
from mindrecord.shard_reader import videos_of_split
from preprocess.catalog import TEST
from preprocess.common import cli
from preprocess.common.errors import InputError
from scripts.benchmarking import report
from train import checkpoint, devices, evaluation_windows
from train.scoring import Scorer, score_windows


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time evaluation against the network alone on the same windows, in turn, and print the ratio."""

    checkpoint: Path
    """The network."""
    records: Path = Path("work/records")
    """The records folder."""
    split: str = "1"
    """Whose test videos."""
    videos: int = 0
    """Most of them to take, 0 for all: all their windows are held in memory."""
    batch_size: int = 8
    """Windows a batch."""
    pairs: int = 3
    """How often each side runs, in turn."""
    json: Path | None = None
    """Write the figures here too, with machine, versions, commit and date."""


def main(options: Options) -> int:
    records = options.records.resolve()
    packed = manifest.load(records)
    devices.use(devices.target(), seed=0)
    meta, network = checkpoint.restore(options.checkpoint)
    clip = meta.clip
    videos = videos_of_split(records, packed, options.split, TEST)[: options.videos or None]
    if not videos:
        raise InputError(f"{options.records} has no test video of split {options.split}")

    def decoded() -> Iterator[NDArray[np.uint8]]:
        for _, windows_WTHWC in evaluation_windows.whole_videos(videos, clip):
            yield from windows_WTHWC

    held = list(decoded())
    scorer = Scorer(network, clip)

    def seconds(windows: Iterable[NDArray[np.uint8]]) -> float:
        began = time.perf_counter()
        for _ in score_windows(scorer, windows, options.batch_size):
            pass
        return time.perf_counter() - began

    seconds(held[: options.batch_size])
    ours, alone = [], []
    for _ in range(options.pairs):
        ours.append(seconds(decoded()))
        alone.append(seconds(held))
    ratios = [a / b for a, b in zip(ours, alone, strict=True)]
    figures = {
        "dataset": packed.dataset,
        "network": " ".join([meta.model.name, *(f"{name} {value}" for name, value in meta.model.options().items())]),
        "clip_frames": clip.frames,
        "clip_size": clip.size,
        "videos": len(videos),
        "windows": len(held),
        "ratio": median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "evaluation_s": median(ours),
        "network_s": median(alone),
        "batch_size": options.batch_size,
        "pairs": options.pairs,
    }
    report("eval", figures, options.json)
    return 0


if __name__ == "__main__":
    cli.run(main, Options)
