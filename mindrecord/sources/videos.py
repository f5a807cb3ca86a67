"""Videos packed as they are, without frame files: each is decoded once to learn its frames' sizes, which the plan of the
shards needs, and once more when it is packed. Decoding is deterministic, so that the shards are those of a frames folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mindrecord.plan import PlannedRow, segment_rows
from mindrecord.sources.base import PackableVideo, PackOptions, Source, absent, hash_frames, hash_of_schema_2
from preprocess import ledger
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.common.journal import Journal
from preprocess.common.progress import progress, say
from preprocess.dataset_options import DatasetOptions
from preprocess.extract_video import Task, decode_into, failed
from preprocess.frame_store import FOLDER, Writer
from preprocess.workers import executors

MEASURED, SETTINGS = "measured.jsonl", "measured_with.json"


@dataclass(frozen=True, kw_only=True)
class VideosOptions(PackOptions, DatasetOptions):
    """Decode the videos of a data set and pack them into MindRecord shards, without frame files in between.

    Each video is decoded twice: once to learn its frames' sizes, and when it is packed.
    """

    from_videos: bool = True
    """Pack the videos of --dataset at --root."""

    def check(self) -> None:
        """Check what the types do not.

        Raises:
            InputError: a value is out of range, or the backend is not on this machine.
        """
        super().check()
        self.check_packing(self.workers)

    def __str__(self) -> str:
        return f"{self.dataset} at {self.root}"


@dataclass(frozen=True)
class Measured:
    """The ledger entry of a video and the sizes of its JPEGs, which are empty if a previous run measured them."""

    entry: ledger.Entry
    frame_bytes: tuple[int, ...]


@dataclass(frozen=True)
class DecodedVideo:
    """The frames of a video, decoded when they are read; they must have the hash that they had before."""

    task: Task
    jpeg_sha256: str

    def read(self) -> list[bytes]:
        """See `Jpegs`.

        Raises:
            InputError: the video has changed since it was measured.
        """
        jpegs: list[bytes] = []
        entry = decode_into(self.task, collected(jpegs), skip_if_unchanged=False)
        if entry.status != ledger.OK or entry.jpeg_sha256 != self.jpeg_sha256:
            raise InputError(f"{self} has changed while it was packed ({entry.reason or 'other frames'}): run again")
        return jpegs

    def __str__(self) -> str:
        return str(self.task.source)


@contextmanager
def collected(jpegs: list[bytes]) -> Iterator[Writer]:
    """A store of frames that is a list."""
    yield lambda _, jpeg: jpegs.append(jpeg)


def measure(task: Task) -> Measured:
    """Decode a video, unless its line and source are unchanged, and keep nothing but its line and its frames' sizes."""
    jpegs: list[bytes] = []
    entry = decode_into(task, collected(jpegs), skip_if_unchanged=True)
    return Measured(entry, tuple(map(len, jpegs)) if entry.status == ledger.OK else ())


def videos_folder(options: VideosOptions, folder: Path) -> Source:
    """The listed videos, measured. What is measured is kept in `folder` for the next run; videos that the records folder
    `options.out` was made of and that are unchanged are not decoded.

    Raises:
        InputError: none is on disk or none decodes.
    """
    listed, matched = options.find_videos()
    recorded = asdict(options.frame_settings) | {"release": listed.release}
    is_packed = (options.out / ledger.FILE_NAME).is_file()
    if is_packed:
        before = {name: Measured(entry, ()) for name, entry in ledger.read(options.out).items()}
    else:
        journal = open_journal(folder, recorded)
        before = {measured.entry.name: measured for measured in journal.read()}
    tasks = {
        video.name: Task(
            video=video,
            path=path,
            videos=options.videos.resolve(),
            frames=Path(),
            layout=FOLDER,
            settings=options.frame_settings,
            before=before[video.name].entry if video.name in before else None,
        )
        for video, path in matched.found.items()
    }
    results = executors.run(
        measure, tasks.values(), options.workers, options.cluster, crashed=given_up, timeout_s=options.video_timeout
    )
    measured = {name: Measured(entry, ()) for name, entry in options.missing(matched).items()}
    for one in progress(results, "videos measured", total=len(tasks)):
        name = one.entry.name
        known = name in before and one.entry == before[name].entry
        measured[name] = before[name] if known else one
        if not known and not is_packed:
            journal.append(one)
        if one.entry.status == ledger.FAILED:
            say(f"failed: {one.entry.path}: {one.entry.reason}")
    entries = {video.name: measured[video.name].entry for video in listed.videos}
    videos = tuple(
        PackableVideo(
            video=video,
            fps=entries[video.name].fps,
            rows=rows_of(measured[video.name], options.segment_frames),
            jpegs=DecodedVideo(replace(tasks[video.name], before=None), entries[video.name].jpeg_sha256),
        )
        for video in listed.videos
        if entries[video.name].status == ledger.OK
    )
    if not videos:
        raise InputError(f"none of the videos under {options.videos} decodes: see above")
    return Source(
        listed=listed,
        frame_settings=options.frame_settings,
        sha256=hash_frames(entries.values()),
        videos=videos,
        absent=absent(listed, entries),
        entries=tuple(entries.values()),
        sha256_schema_2=hash_of_schema_2(entries.values()),
    )


def rows_of(measured: Measured, segment_frames: int) -> tuple[PlannedRow, ...]:
    """The rows that a video makes."""
    entry = measured.entry
    if 0 < segment_frames < entry.stored_frames and measured.frame_bytes:
        return segment_rows(measured.frame_bytes, segment_frames)
    return (PlannedRow(0, entry.stored_frames, entry.jpeg_bytes),)


def given_up(task: Task, reason: str) -> Measured:
    """What is known of a video whose worker died twice."""
    return Measured(failed(task, reason), ())


def open_journal(folder: Path, settings: dict[str, Any]) -> Journal[Measured]:
    """What previous runs measured with these settings; with others, it is deleted."""
    path = folder / SETTINGS
    journal = Journal(folder / MEASURED, from_json, asdict)
    if not path.is_file() or files.read_json(path) != settings:
        folder.mkdir(parents=True, exist_ok=True)
        journal.path.unlink(missing_ok=True)
        files.write_json(path, settings)
    return journal


def from_json(value: dict[str, Any]) -> Measured:
    """What `asdict` and JSON made of it."""
    return Measured(ledger.from_json(value["entry"]), tuple(value["frame_bytes"]))
