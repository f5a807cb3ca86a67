"""Check a records folder: every file's bytes against the manifest, then every row and every JPEG.

python mindrecord/verify.py work/records
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from typing import Annotated

import tyro

from mindrecord import checksums, manifest
from mindrecord.manifest import Manifest, Shard
from mindrecord.plan import MIB
from mindrecord.row_checks import (
    PACK_AGAIN,
    FoundShard,
    Leak,
    check_counts,
    check_pack,
    check_shard,
    find_leaks,
    leak_notes,
    leak_problems,
)
from mindrecord.row_reader import read_rows
from preprocess.common import cli, files
from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.workers import executors


@dataclass(frozen=True)
class Options:
    """Check every file, row and JPEG of a records folder, and that its splits are disjoint, against its manifest."""

    records: Annotated[Path, tyro.conf.Positional] = Path("work/records")
    """The records folder."""
    workers: int = 0
    """Processes; 0 takes every core this process may use."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One shard to check, and what of the manifest its rows depend on."""

    folder: Path
    shard: Shard
    class_names: tuple[str, ...]
    segment_frames: int


def main(options: Options) -> int:
    workers = worker_count(options.workers)
    packed = manifest.read(options.records)
    size_bytes = sum(file.size_bytes for shard in packed.shards for file in shard.stored_files)
    say(f"{options.records}: {packed.dataset}, {len(packed.shards)} shards of {size_bytes / MIB:.0f} MiB together")
    damage = checksums.check_files(options.records, packed, workers, known={}).damage
    strangers = name_strangers(options.records, packed, damage)
    sound = [shard for shard in packed.shards if not any(file.name in damage for file in shard.stored_files)]
    checks = [
        Check(
            folder=options.records.resolve(),
            shard=shard,
            class_names=packed.class_names,
            segment_frames=packed.settings["segment_frames"],
        )
        for shard in sound
    ]
    found = list(progress(executors.run(check, checks, workers, crashed=unreadable), "shards", total=len(checks)))
    videos = [video for shard in found for video in shard.videos]
    problems = [*damage.values(), *strangers, *(text for shard in found for text in shard.problems)]
    leaks = find_leaks(packed, videos)
    problems += check_pack(packed, videos) + leak_problems(packed, leaks)
    if len(videos) == sum(shard.videos for shard in packed.shards):  # otherwise a shard's line says so already
        problems += check_counts(packed, videos)
    for problem in sorted(problems):
        say(problem)
    if problems:
        raise InputError(f"{len(problems)} problems in {options.records}, named above with what to do")
    report(packed, found, leaks)
    return 0


def name_strangers(folder: Path, packed: Manifest, damage: dict[str, str]) -> list[str]:
    """What is wrong with the files that the manifest does not name. That one is a missing file, `damage` then says."""
    listed = {file.name: file for shard in packed.shards for file in shard.stored_files}
    lost = [file for file in listed.values() if not (folder / file.name).exists()]
    problems = []
    for path in sorted(folder.iterdir()):
        if path.name in listed or not path.is_file():
            continue
        same_size = [file for file in lost if file.size_bytes == path.stat().st_size]
        sha256 = files.sha256(path) if same_size else ""
        was = next((file for file in same_size if file.sha256 == sha256), None)
        if was:
            damage[was.name] = (
                f"{folder / was.name} was renamed to {path.name}: rename it back, MindRecord keeps names inside"
            )
        elif path.suffix in (".mindrecord", ".db"):
            problems.append(f"{path} is not in {folder / manifest.FILE_NAME}: move it out of the folder, nothing reads it")
    return problems


def check(task: Check) -> FoundShard:
    """Read a shard, whose bytes are those that were written, and check its rows."""
    rows = read_rows(task.folder / task.shard.file)
    try:
        return check_shard(task.shard, rows, task.class_names, task.segment_frames)
    except RuntimeError as error:  # MindRecord's own, a page long
        cause = re.search(r"\[ERROR\] (.+)", str(error))
        return unreadable(task, cause[1] if cause else str(error).splitlines()[0])


def unreadable(task: Check, reason: str) -> FoundShard:
    """What is found in a shard that MindRecord cannot read."""
    return FoundShard(rows=0, frames=0, videos=(), problems=(f"{task.shard.file} cannot be read: {reason}: {PACK_AGAIN}",))


def report(packed: Manifest, found: list[FoundShard], leaks: list[Leak]) -> None:
    """Say what was checked."""
    say(f"{2 * len(packed.shards)} files have the sizes and SHA-256 that the manifest says")
    say(
        f"{sum(shard.rows for shard in found)} rows of {sum(len(shard.videos) for shard in found)} videos are whole and in "
        f"order, {sum(shard.frames for shard in found)} JPEGs decode to their end"
    )
    groups = "" if leaks else ", no group is on both sides of a split"
    say(f"no video is there twice{groups}, each of {len(packed.class_names)} classes has as many as the manifest says")
    for note in leak_notes(leaks):
        say(note)
    if packed.assumed:
        say(packed.assumed)
    say(f"splits drawn {packed.split_source}")
    for split, sides in packed.class_videos.items():
        say(f"split {split}: {sum(sides['train'])} train, {sum(sides['test'])} test")


if __name__ == "__main__":
    cli.run(main, Options)
