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

from mindrecord import manifest, schema
from mindrecord.building import Building
from mindrecord.manifest import Absent, Manifest, Shard
from mindrecord.pack import ShardTask, VideoSource, write_shard
from mindrecord.plan import MAX_PAGE_BYTES, MIB, PlannedRow, PlannedVideo, page_bytes, plan_shards, segment_rows
from preprocess import catalog, executors, ledger
from preprocess.catalog import Catalog
from preprocess.common import cli, files
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.frame_store import frame_bytes, target

WINDOW_FRAMES = 16


@dataclass(frozen=True)
class Options:
    """Pack a frames folder into MindRecord shards, one row a video or segment, one pack for all splits."""

    frames: Path = Path("work/frames")
    """The frames folder that preprocess/extract_frames.py wrote."""
    out: Path = Path("work/records")
    """The records folder to write; it appears whole or not at all."""
    shard_mb: int = 256
    """Largest size of a shard, in MiB; a video that is larger has a shard of its own."""
    segment_frames: int = 0
    """Cut a video longer than this into rows of so many frames, a multiple of 16, which are quicker to read a clip from; 0
    makes every video one row."""
    seed: int = 0
    """Seed of the order in which videos are spread over the shards."""
    workers: int = 0
    """Processes; 0 takes every core this process may use. The bytes written do not depend on it."""
    cluster: str = ""
    """A Dask cluster instead of processes here: tcp://host:port of its scheduler, or local:N."""


def main(options: Options) -> int:
    check(options)
    say(f"{options.frames} -> {options.out}")
    listed, written = catalog.load(options.frames)
    entries = ledger.read(options.frames)
    ledger.check_finished(options.frames, listed, entries)
    if not any(entry.status == ledger.OK for entry in entries.values()):
        raise InputError(f"{options.frames} has no video that was extracted: see {options.frames / ledger.FILE_NAME}")
    settings = {name: getattr(options, name) for name in ("shard_mb", "segment_frames", "seed")}
    settings = {**written["settings"], **settings}
    frames_sha256 = files.sha256(options.frames / ledger.FILE_NAME)
    files.refuse_other_folder(options.out, manifest.FILE_NAME, "a records folder")
    with files.locked(options.out):
        building = Building(options.out)
        if (options.out / manifest.FILE_NAME).is_file():
            refuse_another_pack(options.out, settings, frames_sha256)
            building.remove()
            say(f"{options.out} already holds these frames; nothing to do")
            return 0
        began = time.monotonic()
        shards = write_all(options, building, listed, entries, settings, frames_sha256)
        absent = tuple(
            Absent(v.class_name, v.video_id, v.flags, entries[v.name].status)
            for v in listed.videos
            if entries[v.name].status != ledger.OK
        )
        manifest.save(
            Manifest(listed.dataset, listed.class_names, listed.splits, settings, frames_sha256, tuple(shards), absent),
            building.records,
        )
        building.publish()
    report(shards, absent, listed, time.monotonic() - began)
    return 0


def check(options: Options) -> None:
    """Raise InputError on a value out of range."""
    if options.shard_mb < 1 or options.workers < 0 or options.seed < 0:
        raise InputError("--shard-mb is 1 or more, --seed and --workers are 0 or more")
    if options.segment_frames < 0 or options.segment_frames % WINDOW_FRAMES:
        raise InputError(
            f"--segment-frames {options.segment_frames} is not a multiple of {WINDOW_FRAMES}: evaluation takes windows of "
            f"{WINDOW_FRAMES} frames, which only then are those of the whole video"
        )


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
    options: Options,
    building: Building,
    listed: Catalog,
    entries: dict[str, ledger.Entry],
    settings: dict[str, Any],
    frames_sha256: str,
) -> list[Shard]:
    """Plan and write every shard that is not there yet into `building`; returns all in the plan's order."""
    layout = settings["layout"]
    planned = plan_videos(options, listed, entries, layout)
    page = page_bytes(planned, options.shard_mb * MIB)
    if page == 0:
        video, row = max(((v, row) for v in planned for row in v.rows), key=lambda pair: pair[1].row_bytes)
        fewer = max(row.frames * MAX_PAGE_BYTES // row.row_bytes // WINDOW_FRAMES, 1) * WINDOW_FRAMES
        raise InputError(
            f"{listed.videos[video.index].name} would have a row of {row.row_bytes / MIB:.0f} MiB, MindRecord holds "
            f"{MAX_PAGE_BYTES // MIB}: cut long videos with --segment-frames {fewer} or less"
        )
    shards = plan_shards(planned, options.shard_mb * MIB, page, options.seed)
    files_of = {shard.file: [listed.videos[video.index].name for video in shard.videos] for shard in shards}
    finished = building.begin(
        {"schema": schema.VERSION, "settings": settings, "frames_sha256": frames_sha256, "page": page, "shards": files_of}
    )

    def source(video: PlannedVideo) -> VideoSource:
        about = listed.videos[video.index]
        entry = entries[about.name]
        return VideoSource(
            about.class_name,
            about.video_id,
            about.label,
            about.flags,
            entry.fps,
            entry.decoded_frames,
            video.rows,
            target(options.frames.resolve(), about.class_name, about.video_id, layout),
        )

    tasks = [
        ShardTask(
            building.records.resolve() / shard.file,
            page,
            shard.flags,
            layout,
            tuple(map(source, shard.videos)),
            finished.get(shard.file),
        )
        for shard in shards
    ]
    if finished:
        say(f"{len(finished)} of {len(tasks)} shards are there from a run before")
    workers = min(options.workers or available_cpus(), len(tasks))
    done = {}
    for shard in progress(executors.run(write_shard, tasks, workers, options.cluster), "shards", total=len(tasks)):
        done[shard.file] = shard
        if shard != finished.get(shard.file):
            building.append(shard)
    return [done[task.path.name] for task in tasks]


def plan_videos(options: Options, listed: Catalog, entries: dict[str, ledger.Entry], layout: str) -> list[PlannedVideo]:
    """Every extracted video with its rows, in the catalog's order. Those to cut have the sizes of their frames looked up."""
    planned = []
    for index, video in enumerate(listed.videos):
        entry = entries[video.name]
        if entry.status != ledger.OK:
            continue
        rows: tuple[PlannedRow, ...] = (PlannedRow(0, entry.decoded_frames, entry.jpeg_bytes),)
        if 0 < options.segment_frames < entry.decoded_frames:
            path = target(options.frames, video.class_name, video.video_id, layout)
            rows = segment_rows(frame_bytes(path, layout, entry.decoded_frames), options.segment_frames)
        planned.append(PlannedVideo(index, video.flags, rows))
    return planned


def report(shards: list[Shard], absent: tuple[Absent, ...], listed: Catalog, seconds: float) -> None:
    """Say what was packed."""
    videos, rows, frames, size_bytes = (
        sum(getattr(shard, name) for shard in shards) for name in ("videos", "rows", "frames", "size_bytes")
    )
    say(
        f"{videos} videos in {rows} rows, {frames} frames, in {len(shards)} shards of {size_bytes / MIB:.0f} MiB together, "
        f"{seconds:.1f} s; {len(absent)} listed videos are not there to pack"
    )
    for index, split in enumerate(listed.splits):
        train, test = (sum(shard.videos for shard in shards if shard.flags[index] == flag) for flag in (1, 2))
        say(f"split {split}: {train} train, {test} test")


if __name__ == "__main__":
    cli.run(main, Options)
