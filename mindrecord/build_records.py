"""What mindrecord/build.py does: every video to rows of shards, and a manifest of them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from mindrecord import manifest, schema
from mindrecord.manifest import PACK_SETTINGS, Manifest, count_classes
from mindrecord.plan import MAX_PAGE_BYTES, MIB, PlannedVideo, page_bytes, plan_shards
from mindrecord.shard_reader import videos_of
from mindrecord.shard_writer import ShardTask, write_shard
from mindrecord.sources.base import PackOptions, Source
from mindrecord.sources.frames import FramesOptions, frames_folder
from mindrecord.sources.images import DATASET, ImagesOptions, image_folder
from mindrecord.sources.videos import VideosOptions, videos_folder
from mindrecord.staging import Building
from preprocess import ledger
from preprocess.catalog import TEST, TRAIN
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.dataset_options import check_failed
from preprocess.frame_settings import different
from preprocess.workers import executors

Options = FramesOptions | VideosOptions | ImagesOptions


@dataclass(frozen=True)
class Chosen:
    """The options that say what is packed, and so which others there are."""

    from_videos: bool = False
    dataset: str = ""


def parse(arguments: list[str]) -> Options:
    """The options of what is packed: a frames folder, with --from-videos videos, with --dataset imagenet images.

    Raises:
        InputError: an argument is wrong, or belongs to another of the three.
    """
    chosen = cli.parse_known(Chosen, arguments)
    if chosen.from_videos and chosen.dataset == DATASET:
        raise InputError("--from-videos does not go with --dataset imagenet: its images are packed as they are")
    if chosen.from_videos:
        return cli.parse(VideosOptions, arguments)
    if chosen.dataset == DATASET:
        return cli.parse(ImagesOptions, arguments)
    try:
        return cli.parse(FramesOptions, arguments)
    except InputError:
        of_videos = names(VideosOptions) - names(FramesOptions)
        strays = [name for name in (argument.split("=")[0] for argument in arguments) if name in of_videos]
        if strays:
            raise InputError(f"{strays[0]} does nothing here: it goes with --from-videos") from None
        raise


def names(options: type) -> set[str]:
    """The command line's names of a dataclass's options, of those inside others too."""
    found = set()
    for field in fields(options):
        value = field.default_factory() if callable(field.default_factory) else None
        found |= names(type(value)) if value is not None else {f"--{field.name.replace('_', '-')}"}
    return found


def main(options: Options) -> int:
    options.check()
    say(f"{options} -> {options.out}")
    files.refuse_other_folder(options.out, manifest.FILE_NAME, "a records folder")
    with files.locked(options.out):
        building = Building(options.out)
        source = find_source(options, building)
        if (options.out / manifest.FILE_NAME).is_file():
            packed = same_pack(options, source)
            building.remove()
            say(f"{options.out} already holds these frames with this split; nothing to do")
        else:
            began = time.monotonic()
            packed = write_all(options, building, source)
            if source.entries:
                ledger.journal(building.records).rewrite(source.entries)
            manifest.save(packed, building.records)
            building.publish()
            report(packed, time.monotonic() - began)
    check_outcome(options, packed)
    return 0


def find_source(options: Options, building: Building) -> Source:
    """What the options say is to be packed."""
    if isinstance(options, VideosOptions):
        return videos_folder(options, building.folder)
    if isinstance(options, ImagesOptions):
        return image_folder(options)
    return frames_folder(options.frames, options.segment_frames)


def check_outcome(options: Options, packed: Manifest) -> None:
    """Check that no more failed or are missing than is allowed. Of a frames folder extraction has checked it.

    Raises:
        InputError: more failed, or are missing. The others are packed.
    """
    failed = sum(video.status == ledger.FAILED for video in packed.absent)
    done = sum(shard.videos for shard in packed.shards)
    if isinstance(options, VideosOptions):
        options.check_outcome(failed=failed, done=done, missing=len(packed.absent) - failed, see="above")
    elif isinstance(options, ImagesOptions):
        check_failed(options.max_failures, failed=failed, done=done, see="above")


def pack_settings(options: PackOptions) -> dict[str, Any]:
    """What the bytes of the shards depend on, besides the frames and their splits."""
    return {name: getattr(options, name) for name in PACK_SETTINGS}


def same_pack(options: Options, source: Source) -> Manifest:
    """The manifest of the records at `options.out`.

    Raises:
        InputError: they are of other frames, another split or other settings; the first difference is named.
    """
    out = options.out
    before = manifest.load(out)
    again = "choose another --out, or delete that folder to pack again"
    for name, value in pack_settings(options).items():
        if before.settings.get(name) != value:
            raise InputError(f"{out} was packed with {name} {before.settings.get(name)}, this run asks for {value}: {again}")
    if other := different(before.frame_settings, source.frame_settings):
        raise InputError(f"{out} was packed from frames of {other} as these: {again}")
    if before.release != source.listed.release:
        raise InputError(f"{out} holds the {before.release} release, not the {source.listed.release}: {again}")
    if not same_split(out, before, source):
        raise InputError(
            f"{out} holds another split, drawn {before.split_source}; that of these frames is drawn "
            f"{source.listed.split_source}: {again}"
        )
    if before.frames_sha256 not in (source.sha256, source.sha256_schema_2):
        raise InputError(f"{out} holds other frames (the ledger has changed since): {again}")
    return before


def same_split(out: Path, before: Manifest, source: Source) -> bool:
    """Whether every video has the flags and group that it has in the pack, and the pack says how they were drawn. A pack of
    schema 2 records neither: the flags of its shards are compared."""
    if not before.assumed:
        return (before.splits_sha256, before.split_source) == (source.listed.splits_sha256(), source.listed.split_source)
    packed = {video.name: shard.flags for shard in before.shards for video in videos_of(out / shard.file)}
    packed |= {video.name: video.flags for video in before.absent}
    return packed == {video.name: video.flags for video in source.listed.videos}


def write_all(options: Options, building: Building, source: Source) -> Manifest:
    """Plan the shards and write the missing ones into `building`; returns the manifest."""
    tasks = shard_tasks(options, source, building.records)
    settings = pack_settings(options)
    plan = {
        "schema": schema.VERSION,
        "settings": settings,
        "frame_settings": asdict(source.frame_settings),
        "splits_sha256": source.listed.splits_sha256(),
        "frames_sha256": source.sha256,
        "shards": {task.path.name: [item.video.name for item in task.videos] for task in tasks},
    }
    finished = building.begin(plan)
    if finished:
        say(f"{len(finished)} of {len(tasks)} shards are kept from a previous run")
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
        dataset=listed.dataset,
        class_names=listed.class_names,
        splits=listed.splits,
        split_source=listed.split_source,
        splits_sha256=listed.splits_sha256(),
        release=listed.release,
        frame_settings=source.frame_settings,
        settings=settings,
        frames_sha256=source.sha256,
        shards=shards,
        absent=source.absent,
        class_videos=class_videos,
    )


def shard_tasks(options: PackOptions, source: Source, folder: Path) -> list[ShardTask]:
    """Plan the shards, to be written into `folder`."""
    planned = [PlannedVideo(index, item.video.flags, item.rows) for index, item in enumerate(source.videos)]
    page = page_bytes(planned, options.shard_mb * MIB)
    if page == 0:
        video, row = max(((v, row) for v in planned for row in v.rows), key=lambda pair: pair[1].row_bytes)
        fewer = max(row.frames * MAX_PAGE_BYTES // row.row_bytes, 1)
        raise InputError(
            f"{source.videos[video.index].video.name} would have a row of {row.row_bytes / MIB:.0f} MiB, MindRecord holds "
            f"{MAX_PAGE_BYTES // MIB}: cut long videos with --segment-frames {fewer} or less"
        )

    return [
        ShardTask(
            path=folder.resolve() / shard.file,
            page_bytes=page,
            flags=shard.flags,
            videos=tuple(source.videos[v.index] for v in shard.videos),
        )
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
