"""Videos packed as they are, without frame files: each is decoded once to learn its frames' sizes, which the plan of the
shards needs, and once more when it is packed. Decoding is deterministic, so that the shards are those of a frames folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mindrecord.plan import PlannedRow, segment_rows
from mindrecord.sources.base import PackableVideo, Source, absent
from preprocess import extract_dataset, ledger
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.extract_video import Task, decode_into, failed
from preprocess.frame_store import Writer
from preprocess.workers import executors

MEASURED = "measured.jsonl"


@dataclass(frozen=True)
class Measured:
    """A video's line of the ledger, and the size of each of its JPEGs; none when a run before has found them."""

    entry: ledger.Entry
    frame_bytes: tuple[int, ...]


@dataclass(frozen=True)
class DecodedVideo:
    """The frames of a video, decoded when they are read; they must have the hash that they had before."""

    task: Task
    jpeg_sha256: str

    def read(self) -> list[bytes]:
        """See `Jpegs`. Raises InputError when the video has changed since it was measured."""
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


def videos_folder(options: extract_dataset.Options, segment_frames: int, folder: Path, packed: Path) -> Source:
    """The listed videos, measured. What is measured is kept in `folder` for the next run; videos that `packed`, a records
    folder, was made of and that are unchanged are not decoded.

    Raises InputError when none is on disk or none decodes.
    """
    listed, matched = extract_dataset.find_videos(options)
    settings = extract_dataset.extraction_settings(options)
    recorded = asdict(settings) | options.reader.recorded(options.dataset)
    del recorded["layout"]
    is_packed = (packed / ledger.FILE_NAME).is_file()
    if is_packed:
        before = {name: Measured(entry, ()) for name, entry in ledger.read(packed).items()}
    else:
        before = load(folder, recorded)
    tasks = {
        video.name: Task(video, path, options.videos.resolve(), Path(), settings, None)
        for video, path in matched.found.items()
    }
    todo = [replace(task, before=before[name].entry if name in before else None) for name, task in tasks.items()]
    results = executors.run(measure, todo, options.workers, options.cluster, crashed=given_up)
    measured = {name: Measured(entry, ()) for name, entry in extract_dataset.missing(options, matched).items()}
    for one in progress(results, "videos measured", total=len(todo)):
        name = one.entry.name
        known = name in before and one.entry == before[name].entry
        measured[name] = before[name] if known else one
        if not known and not is_packed:
            append(folder, one)
        if one.entry.status == ledger.FAILED:
            say(f"failed: {one.entry.path}: {one.entry.reason}")
    entries = {video.name: measured[video.name].entry for video in listed.videos}
    videos = tuple(
        PackableVideo(
            video,
            entries[video.name].fps,
            rows_of(measured[video.name], segment_frames),
            DecodedVideo(tasks[video.name], entries[video.name].jpeg_sha256),
        )
        for video in listed.videos
        if entries[video.name].status == ledger.OK
    )
    if not videos:
        raise InputError(f"none of the videos under {options.videos} decodes: see above")
    sha256 = hashlib.sha256("".join(map(ledger.to_line, entries.values())).encode()).hexdigest()
    return Source(listed, recorded, sha256, videos, absent(listed, entries), tuple(entries.values()))


def rows_of(measured: Measured, segment_frames: int) -> tuple[PlannedRow, ...]:
    """The rows that a video makes."""
    entry = measured.entry
    if 0 < segment_frames < entry.decoded_frames and measured.frame_bytes:
        return segment_rows(measured.frame_bytes, segment_frames)
    return (PlannedRow(0, entry.decoded_frames, entry.jpeg_bytes),)


def given_up(task: Task, reason: str) -> Measured:
    """What is known of a video whose worker died twice."""
    return Measured(failed(task, reason), ())


def load(folder: Path, settings: dict[str, Any]) -> dict[str, Measured]:
    """What a run before has measured with these settings, by name; with others, it is deleted. A last line that was cut off
    by a kill is left out."""
    path = folder / MEASURED
    first = json.dumps(settings)
    lines = files.whole_lines(path)
    if lines[:1] != [first]:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(path, first + "\n")
        return {}
    measured = {}
    for line in lines[1:]:
        value = json.loads(line)
        one = Measured(ledger.from_json(value["entry"]), tuple(value["frame_bytes"]))
        measured[one.entry.name] = one
    return measured


def append(folder: Path, measured: Measured) -> None:
    """Record a video that is measured, in one write."""
    with (folder / MEASURED).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(measured)) + "\n")
