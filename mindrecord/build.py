"""Frames to MindRecord shards: the second stage.

python mindrecord/build.py --frames work/frames --out work/records
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mindrecord import manifest
from mindrecord.manifest import Absent, Manifest, Shard
from mindrecord.pack import RowSource, ShardTask, write_shard
from mindrecord.plan import MAX_PAGE_BYTES, MIB, PlannedVideo, page_bytes, plan_shards
from preprocess import catalog, executors, ledger
from preprocess.catalog import Catalog
from preprocess.common import cli, files
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.frame_store import target


@dataclass(frozen=True)
class Options:
    """Pack a frames folder into MindRecord shards, one row a video, one pack for all splits."""

    frames: Path = Path("work/frames")
    """The frames folder that preprocess/extract_frames.py wrote."""
    out: Path = Path("work/records")
    """The records folder to write; it appears whole or not at all."""
    shard_mb: int = 256
    """Largest size of a shard, in MiB."""
    seed: int = 0
    """Seed of the order in which videos are spread over the shards."""
    workers: int = 0
    """Processes; 0 takes every core this process may use. The bytes written do not depend on it."""


def main(options: Options) -> int:
    if options.shard_mb < 1 or options.workers < 0 or options.seed < 0:
        raise InputError("--shard-mb is 1 or more, --seed and --workers are 0 or more")
    say(f"{options.frames} -> {options.out}")
    listed, written = catalog.load(options.frames)
    entries = ledger.read(options.frames)
    ledger.check_finished(options.frames, listed, entries)
    if not any(entry.status == ledger.OK for entry in entries.values()):
        raise InputError(f"{options.frames} has no video that was extracted: see {options.frames / ledger.FILE_NAME}")
    settings = {**written["settings"], "shard_mb": options.shard_mb, "seed": options.seed}
    frames_sha256 = files.sha256(options.frames / ledger.FILE_NAME)
    files.refuse_other_folder(options.out, manifest.FILE_NAME, "a records folder")
    with files.locked(options.out):
        if (options.out / manifest.FILE_NAME).is_file():
            refuse_another_pack(options.out, settings, frames_sha256)
            say(f"{options.out} already holds these frames; nothing to do")
            return 0
        began = time.monotonic()
        with files.folder_by_rename(options.out) as building:
            shards = write_all(options, building, listed, entries, settings["layout"])
            absent = tuple(
                Absent(v.class_name, v.video_id, v.flags, entries[v.name].status)
                for v in listed.videos
                if entries[v.name].status != ledger.OK
            )
            manifest.save(
                Manifest(listed.dataset, listed.class_names, listed.splits, settings, frames_sha256, tuple(shards), absent),
                building,
            )
    report(shards, absent, listed, time.monotonic() - began)
    return 0


def refuse_another_pack(out: Path, settings: dict[str, Any], frames_sha256: str) -> None:
    """Raise InputError when the records at `out` are not of these frames and settings."""
    before = manifest.load(out)
    for name, value in settings.items():
        if before.settings.get(name) != value:
            raise InputError(
                f"{out} was packed with {name} {before.settings.get(name)}, this run asks for {value}: "
                "choose another --out, or delete that folder"
            )
    if before.frames_sha256 != frames_sha256:
        raise InputError(
            f"{out} holds other frames (the ledger has changed since): choose another --out, or delete that "
            "folder to pack again"
        )


def write_all(
    options: Options, building: Path, listed: Catalog, entries: dict[str, ledger.Entry], layout: str
) -> list[Shard]:
    """Plan and write every shard into `building`; returns them in the plan's order."""
    planned = [
        PlannedVideo(index, video.flags, entries[video.name].decoded_frames, entries[video.name].jpeg_bytes)
        for index, video in enumerate(listed.videos)
        if entries[video.name].status == ledger.OK
    ]
    largest = max(planned, key=lambda video: video.row_bytes)
    page = page_bytes(largest.row_bytes)
    if page == 0:
        raise InputError(
            f"{listed.videos[largest.index].name} has {largest.row_bytes / MIB:.0f} MiB of frames, a row of "
            f"MindRecord holds {MAX_PAGE_BYTES // MIB}: extract with a smaller --short-side or --quality"
        )

    def source(index: int) -> RowSource:
        video = listed.videos[index]
        entry = entries[video.name]
        return RowSource(
            video.class_name,
            video.video_id,
            video.label,
            video.flags,
            entry.fps,
            entry.decoded_frames,
            target(options.frames.resolve(), video.class_name, video.video_id, layout),
        )

    tasks = [
        ShardTask(building.resolve() / shard.file, page, shard.flags, layout, tuple(source(v.index) for v in shard.videos))
        for shard in plan_shards(planned, options.shard_mb * MIB, options.seed)
    ]
    workers = min(options.workers or available_cpus(), len(tasks))
    written = progress(executors.run(write_shard, tasks, workers), "shards", total=len(tasks))
    by_file = {shard.file: shard for shard in written}
    return [by_file[task.path.name] for task in tasks]


def report(shards: list[Shard], absent: tuple[Absent, ...], listed: Catalog, seconds: float) -> None:
    """Say what was packed."""
    size_mb = sum(shard.size_bytes for shard in shards) / MIB
    say(
        f"{sum(shard.rows for shard in shards)} videos, {sum(shard.frames for shard in shards)} frames in {len(shards)} "
        f"shards of {size_mb:.0f} MiB together, {seconds:.1f} s; {len(absent)} listed videos are not there to pack"
    )
    for index, split in enumerate(listed.splits):
        train, test = (sum(shard.rows for shard in shards if shard.flags[index] == flag) for flag in (1, 2))
        say(f"split {split}: {train} train, {test} test")


if __name__ == "__main__":
    cli.run(main, Options)
