"""A checkpoint to a report: the fourth stage.

python eval/evaluate.py --records work/records --checkpoint work/runs/mine/last.ckpt --out work/report
python eval/evaluate.py --splits 1,2,3 --checkpoints A/last.ckpt B/last.ckpt C/last.ckpt --out work/report
msrun --worker_num=8 --local_worker_num=8 --join=True eval/evaluate.py --records work/records
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import starmap
from pathlib import Path
from typing import Literal

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from eval import video_windows
from eval.metrics import compute_metrics, mean_and_deviation
from eval.rank_shares import Rank, ScoreExchange, is_scheduler, rank_of_environment, rows_of, score_of
from eval.report import results, strips
from eval.report.results import Evaluation
from mindrecord import checksums, manifest
from mindrecord.manifest import Manifest
from mindrecord.shard_reader import videos_of_split
from preprocess.catalog import TEST
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from train import checkpoint, devices
from train.checkpoint import CheckpointMetadata
from train.evaluation_windows import whole_videos
from train.run_folder import RUNS
from train.sampling import Views
from train.scoring import Scorer, score_videos, share_of_rank

SPLITS_REPORT = Path("work/report")
SPLITS = "splits.json"
NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    """Score every window of every test video of a records folder and write a report."""

    records: Path = Path("work/records")
    """The records folder that mindrecord/build.py wrote."""
    checkpoint: Path | None = None
    """The checkpoint to evaluate; by default the newest work/runs/*/last.ckpt."""
    out: Path | None = None
    """The report folder to write; by default report/ next to the checkpoint, with --splits work/report. A report that is
    there is replaced."""
    split: str | None = None
    """Which split's test videos; by default the one that the checkpoint was trained on."""
    splits: str = ""
    """Several splits, as 1,2,3, each evaluated on the one of --checkpoints that was trained on it: a report each, and the
    mean and standard deviation of the figures."""
    checkpoints: tuple[Path, ...] = ()
    """The checkpoints for --splits, in that order."""
    views: str = ""
    """What of a video is scored: 10x3 is 10 windows spread evenly over it, each in 3 squares along the longer side of the
    frame; 10x1 only the centre square. By default all windows without overlap, in the squares that the recipe says."""
    stride: int | None = None
    """Distance of a window's frames in the video; by default as in training."""
    flip: bool = False
    """Score each window mirrored left to right too. Not where classes are directions."""
    verify: Literal["size", "full"] = "size"
    """What of the records is checked first: size, of every file, or full, the SHA-256 too, once a pack: it is remembered."""
    allow_missing: bool = False
    """Evaluate although some listed test videos are not packed; the report says how many."""
    batch_size: int = 8
    """Windows a batch; changes the speed, and scores by no more than rounding."""


@dataclass(frozen=True)
class Job:
    """One checkpoint on one split, by default its own, into one report folder."""

    checkpoint: Path
    split: str | None
    folder: Path


def main(options: Options) -> int:
    if is_scheduler():
        return 0
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size} is not 1 or more")
    if options.stride is not None and options.stride < 1:
        raise InputError(f"--stride {options.stride} is not 1 or more")
    rank, views = rank_of_environment(), parse_views(options.views)
    jobs = plan(options)
    records = options.records.resolve()
    packed = manifest.load(records)
    if options.verify == "full" and rank.rank == 0:
        checksums.check(records, packed)
    devices.use(devices.target(), seed=0)
    done = [evaluate(job, options, records, packed, views, rank) for job in jobs]
    evaluations = [evaluation for evaluation in done if evaluation]
    if options.splits and evaluations:
        write_splits(evaluations, jobs[0].folder.parent)
    return 0


def plan(options: Options) -> list[Job]:
    """What to evaluate.

    Raises:
        InputError: options contradict each other, or a folder holds something else.
    """
    if not options.splits and not options.checkpoints:
        path = options.checkpoint or newest_checkpoint(RUNS)
        folder = options.out or path.parent / "report"
        files.refuse_other_folder(folder, results.RESULTS, "a report")
        return [Job(path, options.split, folder)]
    names = options.splits.split(",")
    fit = options.splits and len(set(names)) == len(names) == len(options.checkpoints)
    if not fit or options.checkpoint or options.split:
        raise InputError(
            f"--splits {options.splits or '(none)'} takes one of --checkpoints for each split, in that order, here "
            f"{len(options.checkpoints)}, and neither --checkpoint nor --split: --splits 1,2,3 --checkpoints A B C"
        )
    folder = options.out or SPLITS_REPORT
    for name in names:
        files.refuse_other_folder(folder / f"split{name}", results.RESULTS, "a report")
    return [Job(path, name, folder / f"split{name}") for name, path in zip(names, options.checkpoints, strict=True)]


def parse_views(text: str) -> Views | None:
    """--views.

    Raises:
        InputError: it is not windows, an x and 1 or 3 squares, nor empty, which leaves it to the recipe.
    """
    if not text:
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}x[13]", text):
        raise InputError(f"--views {text} is not understood: windows x squares of the frame, 1 or 3, as 10x3 or 10x1")
    clips, crops = text.split("x")
    return Views(int(clips), int(crops))


def evaluate(
    job: Job, options: Options, records: Path, packed: Manifest, views: Views | None, rank: Rank
) -> Evaluation | None:
    """Score a rank's part of the windows; the first rank puts all together, writes the report and returns it."""
    meta, network = checkpoint.restore(job.checkpoint)
    split = job.split or meta.split
    check_fit(job.checkpoint, meta, options.records, packed, split, options.allow_missing)
    if split != meta.split and packed.dataset == meta.dataset:
        text = f"{job.checkpoint} was trained on split {meta.split}: it has seen test videos of split {split}"
        if options.splits:
            raise InputError(f"{text}. Give the checkpoints in the order of --splits")
        say(text)
    video_windows.print_other_frames(meta, job.checkpoint, packed, options.records)
    clip = replace(meta.clip, stride=options.stride or meta.clip.stride)
    views = replace(views or Views(crops=clip.test_crops), flip=options.flip)
    videos = videos_of_split(records, packed, split, TEST)
    counts = [views.count(video.frames, clip.frames, clip.stride) for video in videos]
    share = share_of_rank(counts, options.batch_size, rank.rank, rank.ranks)
    own = [videos[n] for n in share.videos]
    hashes = files.sha256(job.checkpoint), files.sha256(records / manifest.FILE_NAME)
    key = hashlib.sha256(repr((*hashes, split, clip.stride, astuple(views), options.batch_size)).encode()).hexdigest()[:16]
    folder = ScoreExchange(job.folder, key, rank) if rank.ranks > 1 else None
    if rank.rank == 0:
        shared = f", shared by {rank.ranks} ranks" if rank.ranks > 1 else ""
        say(f"{job.checkpoint} on the test videos of split {split} of {options.records}{shared} -> {job.folder}")
    began = time.monotonic()
    with devices.work_aside():
        windows_of = progress(whole_videos(own, clip, views, devices.workers_of_rank()), "videos", total=len(own))
        found = tuple(score_videos(Scorer(network, clip), windows_of, options.batch_size, share.place))
    if folder and rank.rank:
        folder.publish(rank.rank, rows_of(found, len(packed.class_names)))
        return None
    if folder:
        rows = np.concatenate(folder.gather())
        found += tuple(starmap(score_of, zip(videos[len(own) :], counts[len(own) :], rows, strict=True)))
    evaluation = Evaluation(
        metrics=compute_metrics(
            np.stack([video.score_K for video in found]),
            np.array([video.label for video in found]),
            sum(video.clip_correct for video in found),
            sum(video.clips for video in found),
        ),
        scores=found,
        class_names=packed.class_names,
        dataset=packed.dataset,
        split=split,
        missing=len(packed.absent_of(split, TEST)),
        meta=meta,
        clip=clip,
        views=views,
        checkpoint=job.checkpoint.resolve(),
        checkpoint_sha256=hashes[0],
        records=records,
        records_sha256=hashes[1],
        seconds=time.monotonic() - began,
        ranks=rank.ranks,
        strips=strips.read(videos, found),
        split_source=packed.split_source,
        frame_settings=packed.frame_settings,
        splits_sha256=packed.splits_sha256,
    )
    results.write_report(evaluation, job.folder)
    for line in evaluation.headline():
        say(line)
    say(f"report: {job.folder / results.REPORT}")
    return evaluation


def write_splits(evaluations: Sequence[Evaluation], folder: Path) -> None:
    """Write and say mean and standard deviation of the figures over the splits."""
    summary = {}
    for name in ("top1", "top5", "clip_top1", "mean_class_accuracy"):
        values = {one.split: getattr(one.metrics, name) for one in evaluations}
        mean, deviation = mean_and_deviation(list(values.values()))
        summary[name] = {"mean": mean, "standard_deviation": deviation, "splits": values}
        each = ", ".join(f"{value:.1%}" for value in values.values())
        say(f"{name} {mean:.1%} +- {deviation:.1%} over {len(values)} splits ({each})")
    missing = sum(one.missing for one in evaluations)
    if missing:
        say(f"{missing} listed videos are missing and not counted")
    videos = {one.split: one.metrics.videos for one in evaluations}
    files.write_json(folder / SPLITS, {"videos": videos, "missing_videos": missing, **summary})
    say(f"splits: {folder / SPLITS}")


def newest_checkpoint(runs: Path) -> Path:
    """The last checkpoint of the run that was written to last.

    Raises:
        InputError: there is none.
    """
    found = sorted(runs.glob("*/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"there is no checkpoint under {runs}: train one with train/train.py or name it with --checkpoint")
    return found[-1]


def check_fit(
    path: Path, meta: CheckpointMetadata, records: Path, packed: Manifest, split: str, allow_missing: bool
) -> None:
    """Check that a checkpoint and records belong together.

    Raises:
        InputError: the checkpoint knows other classes, or test videos of the split are not there.
    """
    if meta.class_names != packed.class_names:
        raise InputError(
            f"{path} and {records} do not have the same classes in the same order ({different(meta, packed)}): evaluate it "
            f"on records of {meta.dataset} as it was trained on, or train on these"
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


def different(meta: CheckpointMetadata, packed: Manifest) -> str:
    """In what two lists of classes differ, in a few words."""
    ours, theirs = meta.class_names, packed.class_names
    said = [f"{len(ours)} and {len(theirs)}"] if len(ours) != len(theirs) else []
    for who, names in (
        ("the checkpoint", [name for name in ours if name not in theirs]),
        ("the records", [name for name in theirs if name not in ours]),
    ):
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            said.append(f"only {who}: {', '.join(map(repr, names[:NAMES_SHOWN]))}{more}")
    if not said:
        place, pair = next((i, pair) for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        said = [f"label {place} is {pair[0]!r} and {pair[1]!r}"]
    return "; ".join(said)


if __name__ == "__main__":
    cli.run(main, Options)
