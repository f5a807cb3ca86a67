"""A checkpoint to a report: the fourth stage.

python eval/evaluate.py --records work/records --checkpoint work/runs/mine/last.ckpt --out work/report
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from eval.metrics import figures
from eval.report import results
from eval.report.results import Evaluation
from mindrecord import integrity, manifest
from mindrecord.manifest import Manifest
from preprocess.catalog import TEST
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from train import checkpoint, devices, stream
from train.checkpoint import Meta
from train.scoring import Scorer, VideoScore, score_videos

RUNS = Path("work/runs")


@dataclass(frozen=True)
class Options:
    """Score every window of every test video of a records folder and write a report."""

    records: Path = Path("work/records")
    """The records folder that mindrecord/build.py wrote."""
    checkpoint: Path | None = None
    """The checkpoint to evaluate; by default the newest work/runs/*/last.ckpt."""
    out: Path | None = None
    """The report folder to write; by default report/ beside the checkpoint. A report that is there is replaced."""
    split: str | None = None
    """Which split's test videos; by default the one that the checkpoint was trained on."""
    verify: Literal["size", "full"] = "size"
    """What of the records is checked first: size, of every file, or full, the SHA-256 too, once a pack: it is remembered."""
    allow_missing: bool = False
    """Evaluate although some listed test videos are not packed; the report says how many."""
    batch_size: int = 8
    """Windows a batch; changes the speed, not the result."""


def main(options: Options) -> int:
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size} is not 1 or more")
    path = options.checkpoint or newest_checkpoint(RUNS)
    folder = options.out or path.parent / "report"
    records = options.records.resolve()
    packed = manifest.load(records)
    if options.verify == "full":
        integrity.check(records, packed)
    devices.use(devices.target(), seed=0)
    meta, network = checkpoint.restore(path)
    split = options.split or meta.split
    check_fit(path, meta, options.records, packed, split, options.allow_missing)
    files.refuse_other_folder(folder, results.RESULTS, "a report")
    say(f"{path} on the test videos of split {split} of {options.records} -> {folder}")
    folder, path = folder.resolve(), path.resolve()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        here = Path.cwd()
        devices.work_in(Path(scratch))
        count = sum(shard.videos for shard in packed.shards_of(split, TEST))
        videos = progress(stream.whole_videos(records, packed, split, meta.clip), "videos", total=count)
        scores = list(score_videos(Scorer(network, meta.clip), videos, options.batch_size))
        devices.work_in(here)
    evaluation = summarise(scores, path, meta, options, packed, split, time.monotonic() - began)
    results.write_report(evaluation, folder)
    for line in evaluation.headline():
        say(line)
    say(f"report: {folder / results.REPORT}")
    return 0


def newest_checkpoint(runs: Path) -> Path:
    """The last checkpoint of the run that was written to last. Raises InputError when there is none."""
    found = sorted(runs.glob("*/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"there is no checkpoint under {runs}: train one with train/train.py or name it with --checkpoint")
    return found[-1]


def check_fit(path: Path, meta: Meta, records: Path, packed: Manifest, split: str, allow_missing: bool) -> None:
    """Raise InputError unless the checkpoint knows the records' classes and the split's test videos are there."""
    if len(meta.class_names) != len(packed.class_names):
        raise InputError(
            f"{path} was trained on {len(meta.class_names)} classes, {records} has "
            f"{len(packed.class_names)}: evaluate it on records of {meta.dataset}, or train on these"
        )
    for ours, theirs in zip(meta.class_names, packed.class_names, strict=True):
        if ours != theirs:
            raise InputError(
                f"{path} and {records} name their classes differently, first {ours!r} against {theirs!r}: "
                "evaluate it on the data set that it was trained on"
            )
    if not packed.shards_of(split, TEST):
        raise InputError(f"{records} has no test video of split {split}")
    absent = packed.absent_of(split, TEST)
    if absent and not allow_missing:
        raise InputError(
            f"{len(absent)} listed test videos of split {split} are not in {records}, first "
            f"{absent[0].class_name}/{absent[0].video_id}: the accuracy would not be comparable. "
            "If that is meant, pass --allow-missing"
        )


def summarise(
    scores: list[VideoScore], path: Path, meta: Meta, options: Options, packed: Manifest, split: str, seconds: float
) -> Evaluation:
    """Put figures, scores and provenance together."""
    return Evaluation(
        figures=figures(
            np.stack([video.score_K for video in scores]),
            np.array([video.label for video in scores]),
            sum(video.clip_hits for video in scores),
            sum(video.clips for video in scores),
        ),
        scores=tuple(scores),
        class_names=packed.class_names,
        dataset=packed.dataset,
        split=split,
        missing=len(packed.absent_of(split, TEST)),
        meta=meta,
        checkpoint=path,
        checkpoint_sha256=files.sha256(path),
        records=options.records.resolve(),
        records_sha256=files.sha256(options.records.resolve() / manifest.FILE_NAME),
        seconds=seconds,
    )


if __name__ == "__main__":
    cli.run(main, Options)
