"""Time packing against tar of the same frames folder, in turn, and print MB of frames a second for both.

    python scripts/bench_pack.py --frames work/frames

Packing is from the first shard's begin to the last one's end: the workers' start, most of which is importing MindSpore, is
not counted; hashing and reading back are. tar writes one file next to the shards. What a run wrote is on disk before the
next begins, and the frames are in memory as far as they fit, for both sides. `pack_cpu_s` are processor seconds of all
workers, which say more than the rest on a machine that does other things too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mindrecord import build_records
from mindrecord.manifest import Shard
from mindrecord.shard_writer import ShardTask, write_shard
from mindrecord.sources.frames import FramesOptions, frames_folder
from preprocess.common import cli
from preprocess.workers import executors
from scripts.benchmarking import report


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time packing against tar of the same frames folder, in turn, and print MB of frames a second for both."""

    frames: Path
    """A frames folder that preprocess/extract_frames.py wrote."""
    scratch: Path | None = None
    """Where both sides write, and are deleted again; the system's folder for temporary files if not given."""
    shard_mb: int = 256
    """As mindrecord/build.py."""
    segment_frames: int = 0
    """As mindrecord/build.py; it needs the sizes of all frames, whose looking up is not counted."""
    pairs: int = 3
    """How often each side runs, in turn, after one run that is not counted."""
    workers: int = 2
    """Processes that pack."""
    json: Path | None = None
    """Write the figures here too, with machine, versions, commit and date."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A shard that was written, and when its writing began and ended, in seconds of one clock for all processes,
    and the processor seconds it took."""

    shard: Shard
    began_s: float
    ended_s: float
    cpu_s: float


def main(options: Options) -> int:
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        rows = [compare(options, Path(scratch)) for _ in range(options.pairs + 1)][1:]
    figures = {name: median(row[name] for row in rows) for name in rows[0]}
    report("pack", {**figures, "workers": options.workers, "pairs": options.pairs}, options.json)
    return 0


def compare(options: Options, scratch: Path) -> dict[str, float]:
    """Pack once and run tar once, each into `scratch`, which is empty again afterwards."""
    pack = FramesOptions(frames=options.frames, shard_mb=options.shard_mb, segment_frames=options.segment_frames)
    tasks, frame_mb = shard_tasks(pack, scratch)
    os.sync()
    done = list(executors.run(timed_shard, tasks, options.workers))
    pack_s = max(one.ended_s for one in done) - min(one.began_s for one in done)
    os.sync()
    began = time.perf_counter()
    subprocess.run(["tar", "cf", str(scratch / "frames.tar"), "-C", str(options.frames), "."], check=True)
    tar_s = time.perf_counter() - began
    shards_mb = sum(one.shard.size_bytes for one in done) / 1e6
    for path in scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    row = {
        "frame_mb": frame_mb,
        "shards_mb": shards_mb,
        "shards": len(done),
        "pack_s": pack_s,
        "pack_cpu_s": sum(one.cpu_s for one in done),
        "tar_s": tar_s,
        "pack_mb_per_s": frame_mb / pack_s,
        "tar_mb_per_s": frame_mb / tar_s,
        "ours_over_tar": tar_s / pack_s,
    }
    print("  ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True)
    return row


def shard_tasks(pack: FramesOptions, folder: Path) -> tuple[list[ShardTask], float]:
    """What the command would write, into `folder`, and the MB of frames in it."""
    tasks = build_records.shard_tasks(pack, frames_folder(pack.frames, pack.segment_frames), folder)
    size = sum(row.jpeg_bytes for task in tasks for video in task.videos for row in video.rows)
    return tasks, size / 1e6


def timed_shard(task: ShardTask) -> Timed:
    """Write a shard in a worker, by the clock."""
    began, cpu_began = time.monotonic(), time.process_time()
    shard = write_shard(task)
    return Timed(shard=shard, began_s=began, ended_s=time.monotonic(), cpu_s=time.process_time() - cpu_began)


if __name__ == "__main__":
    cli.run(main, Options)
