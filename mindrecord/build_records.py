"""What mindrecord/build.py does: every video to rows of shards, and a manifest of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from mindrecord import manifest, schema
from mindrecord.manifest import Manifest, count_classes
from mindrecord.plan import MAX_PAGE_BYTES, MIB, PlannedVideo, page_bytes, plan_shards
from mindrecord.shard_writer import ShardTask, write_shard
from mindrecord.sources import frames, images, videos
from mindrecord.sources.base import Source
from mindrecord.staging import Building
from preprocess import extract_dataset, frame_store, ledger
from preprocess.annotations import ReaderOptions
from preprocess.catalog import TEST, TRAIN
from preprocess.common import files
from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.workers import executors

WINDOW_FRAMES = 16


@dataclass(frozen=True)
class Options(extract_dataset.Options):
    """Pack frames, videos or images into MindRecord shards, one row a video or segment, one pack for all splits.

    The options of extraction are for --from-videos, --dataset and --root also for imagenet.
    """

    dataset: str = "ucf101"
    """With --from-videos: whose lists to read, as preprocess/extract_frames.py. imagenet: train/ and val/ with class folders
    of JPEGs, packed as they are."""
    frames: Path = Path("work/frames")
    """The frames folder that preprocess/extract_frames.py wrote."""
    from_videos: bool = False
    """Decode the videos of --dataset at --root instead, without frame files in between. Each is decoded twice."""
    out: Path = Path("work/records")
    """The records folder to write; it appears whole or not at all."""
    shard_mb: int = 256
    """Largest size of a shard, in MiB; a video that is larger has a shard of its own."""
    segment_frames: int = 0
    """Cut a video longer than this into rows of so many frames, a multiple of 16, which are quicker to read a clip from; 0
    makes every video one row."""
    seed: int = 0
    """Seed of the order in which videos are spread over the shards; with --from-videos --dataset folder of its split too."""
    workers: int = 0
    """Processes; 0 takes every core this process may use. The bytes written do not depend on it."""
    layout: Annotated[str, tyro.conf.Suppress] = frame_store.FOLDER

    @property
    def reader(self) -> ReaderOptions:
        """What the data set's reader is told."""
        return replace(super().reader, seed=self.seed if self.dataset == "folder" else ReaderOptions.seed)

    @property
    def from_frames(self) -> bool:
        """Whether a frames folder is packed, as whose videos the stage before has said what failed and what is missing."""
        return not self.from_videos and self.dataset != images.DATASET


def main(options: Options) -> int:
    check(options)
    say(f"{options.frames if options.from_frames else f'{options.dataset} at {options.root}'} -> {options.out}")
    files.refuse_other_folder(options.out, manifest.FILE_NAME, "a records folder")
    with files.locked(options.out):
        building = Building(options.out)
        source = find_source(options, building)
        settings = pack_settings(options, source)
        if (options.out / manifest.FILE_NAME).is_file():
            packed = same_pack(options.out, settings, source.sha256)
            building.remove()
            say(f"{options.out} already holds these frames; nothing to do")
        else:
            began = time.monotonic()
            packed = write_all(options, building, source, settings)
            if source.entries:
                ledger.rewrite(building.records, source.entries)
            manifest.save(packed, building.records)
            building.publish()
            report(packed, time.monotonic() - began)
    return 0 if options.from_frames else exit_code(options, packed)


def find_source(options: Options, building: Building) -> Source:
    """What the options say is to be packed."""
    if options.from_videos:
        return videos.videos_folder(options, options.segment_frames, building.folder, options.out)
    if options.dataset == images.DATASET:
        return images.image_folder(options.root, options.workers, options.cluster)
    return frames.frames_folder(options.frames, options.segment_frames)


def exit_code(options: Options, packed: Manifest) -> int:
    """0, or InputError when more videos failed or are missing than was allowed. The others are packed."""
    failed = sum(video.status == ledger.FAILED for video in packed.absent)
    there = sum(shard.videos for shard in packed.shards)
    if failed > extract_dataset.allowed_failures(options.max_failures, there + failed):
        raise InputError(f"{failed} failed, --max-failures is {options.max_failures}: see above; the others are packed")
    missing = len(packed.absent) - failed
    if missing and not options.allow_missing:
        raise InputError(
            f"{missing} of {there + len(packed.absent)} listed videos are not under {options.videos}; the others are "
            "packed. If that is meant, pass --allow-missing"
        )
    return 0


def pack_settings(options: Options, source: Source) -> dict[str, Any]:
    """What the shards' bytes depend on, the frames aside."""
    return {**source.settings, **{name: getattr(options, name) for name in ("shard_mb", "segment_frames", "seed")}}


def check(options: Options) -> None:
    """Raise InputError on a value out of range, or an option that would do nothing."""
    if options.from_videos and options.dataset == images.DATASET:
        raise InputError("--from-videos does not go with --dataset imagenet: its images are packed as they are")
    if options.from_videos:
        extract_dataset.check(options)
    else:
        images_too = ("dataset", "root", "max_failures") if options.dataset == images.DATASET else ()
        for field in fields(extract_dataset.Options):
            if field.name in {*images_too, "out", "seed", "workers", "cluster"}:
                continue
            if getattr(options, field.name) != field.default:
                name = field.name.replace("_", "-")
                raise InputError(f"--{name} {getattr(options, field.name)} does nothing here: it goes with --from-videos")
    if options.shard_mb < 1 or options.seed < 0:
        raise InputError("--shard-mb is 1 or more, --seed 0 or more")
    worker_count(options.workers)
    if options.segment_frames < 0 or options.segment_frames % WINDOW_FRAMES:
        raise InputError(
            f"--segment-frames {options.segment_frames} is not a multiple of {WINDOW_FRAMES}: evaluation takes windows of "
            f"{WINDOW_FRAMES} frames, which only then are those of the whole video"
        )


def same_pack(out: Path, settings: dict[str, Any], frames_sha256: str) -> Manifest:
    """The manifest of the records at `out`. Raises InputError when they are not of these frames and settings."""
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
    return before


def write_all(options: Options, building: Building, source: Source, settings: dict[str, Any]) -> Manifest:
    """Plan and write every shard that is not there yet into `building`; returns what the manifest has to say."""
    tasks = shard_tasks(options, source, building.records)
    plan = {
        "schema": schema.VERSION,
        "settings": settings,
        "frames_sha256": source.sha256,
        "shards": {task.path.name: [item.video.name for item in task.videos] for task in tasks},
    }
    finished = building.begin(plan)
    if finished:
        say(f"{len(finished)} of {len(tasks)} shards are there from a run before")
    tasks = [replace(task, before=finished.get(task.path.name)) for task in tasks]
    done = {}
    for shard in progress(executors.run(write_shard, tasks, options.workers, options.cluster), "shards", total=len(tasks)):
        done[shard.file] = shard
        if shard != finished.get(shard.file):
            building.append(shard)
    shards = tuple(done[task.path.name] for task in tasks)
    listed = source.listed
    labels_flags = ((item.video.label, item.video.flags) for item in source.videos)
    class_videos = count_classes(labels_flags, len(listed.class_names), listed.splits)
    return Manifest(
        listed.dataset, listed.class_names, listed.splits, settings, source.sha256, shards, source.absent, class_videos
    )


def shard_tasks(options: Options, source: Source, folder: Path) -> list[ShardTask]:
    """Plan the shards, to be written into `folder`."""
    planned = [PlannedVideo(index, item.video.flags, item.rows) for index, item in enumerate(source.videos)]
    page = page_bytes(planned, options.shard_mb * MIB)
    if page == 0:
        video, row = max(((v, row) for v in planned for row in v.rows), key=lambda pair: pair[1].row_bytes)
        fewer = max(row.frames * MAX_PAGE_BYTES // row.row_bytes // WINDOW_FRAMES, 1) * WINDOW_FRAMES
        raise InputError(
            f"{source.videos[video.index].video.name} would have a row of {row.row_bytes / MIB:.0f} MiB, MindRecord holds "
            f"{MAX_PAGE_BYTES // MIB}: cut long videos with --segment-frames {fewer} or less"
        )

    return [
        ShardTask(folder.resolve() / shard.file, page, shard.flags, tuple(source.videos[v.index] for v in shard.videos))
        for shard in plan_shards(planned, options.shard_mb * MIB, page, options.seed)
    ]


def report(packed: Manifest, seconds: float) -> None:
    """Say what was packed."""
    count, rows, frames, size_bytes = (
        sum(getattr(shard, name) for shard in packed.shards) for name in ("videos", "rows", "frames", "size_bytes")
    )
    say(
        f"{count} videos in {rows} rows, {frames} frames, in {len(packed.shards)} shards of {size_bytes / MIB:.0f} MiB "
        f"together, {seconds:.1f} s; {len(packed.absent)} listed videos are not there to pack"
    )
    for split in packed.splits:
        train, test = (sum(shard.videos for shard in packed.shards_of(split, flag)) for flag in (TRAIN, TEST))
        say(f"split {split}: {train} train, {test} test")
