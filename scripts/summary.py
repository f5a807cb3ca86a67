"""Print what the four stages left, as one table.

python scripts/summary.py --frames work/frames --records work/records --run work/runs/mine --report work/runs/mine/report
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mindrecord import manifest
from preprocess import ledger
from preprocess.common import cli, files
from train.run_folder import read_metrics


@dataclass(frozen=True, kw_only=True)
class Options:
    """Print what the four stages left, as one table."""

    frames: Path
    """The frames folder."""
    records: Path
    """The records folder."""
    run: Path
    """The run folder."""
    report: Path
    """The report folder."""


def main(options: Options) -> int:
    entries = ledger.read(options.frames).values()
    counts = ledger.counts(entries)
    shards = manifest.load(options.records).shards
    epochs = read_metrics(options.run)
    found = files.read_json(options.report / "results.json")
    missing = f", {found['missing_videos']} missing" if found["missing_videos"] else ""
    rows = [
        (
            "videos",
            f"{counts[ledger.OK]} ok, {counts[ledger.FAILED]} failed, {counts[ledger.MISSING]} missing "
            f"of {len(entries)} listed",
        ),
        ("frames", f"{sum(entry.stored_frames for entry in entries):,}"),
        ("shards", f"{len(shards)}, {sum(shard.size_bytes for shard in shards) / 2**20:.0f} MiB"),
        (
            "training",
            f"{median(epoch['clips_per_s'] for epoch in epochs):.1f} clips per second, {len(epochs)} epochs, "
            f"{sum(epoch['seconds'] for epoch in epochs):.0f} s",
        ),
        ("evaluation", f"{found['clips_per_s']:.1f} clips per second"),
        ("top-1", f"{found['top1']:.1%} of {found['videos']} test videos{missing}"),
        ("top-5", f"{found['top5']:.1%} of {found['videos']} test videos{missing}"),
        ("report", str(options.report / "report.html")),
    ]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    return 0


if __name__ == "__main__":
    cli.run(main, Options)
