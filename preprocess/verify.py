"""Check a frames folder against its ledger: every JPEG is decoded.

python preprocess/verify.py work/frames
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from typing import Annotated

import simplejpeg
import tyro

from preprocess import catalog, ledger
from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.frame_store import FOLDER, ZIP, read_frames, target
from preprocess.workers import executors

PROBLEMS_SHOWN = 50


@dataclass(frozen=True)
class Options:
    """Decode every JPEG of a frames folder and check counts, sizes and hashes against the ledger."""

    frames: Annotated[Path, tyro.conf.Positional] = Path("work/frames")
    """The frames folder."""
    workers: int = 0
    """Processes; 0 takes every core this process may use."""


@dataclass(frozen=True)
class Check:
    """One video to check: its line of the ledger and where its frames are."""

    entry: ledger.Entry
    path: Path
    layout: str


def main(options: Options) -> int:
    listed, written = catalog.load(options.frames)
    entries = ledger.read(options.frames)
    layout = written.layout
    say(f"{options.frames}: {len(entries)} lines in the ledger, layout {layout}")
    problems = [f"{video.name}: is in no line of the ledger" for video in listed.videos if video.name not in entries]
    done = [entry for entry in entries.values() if entry.status == ledger.OK]
    checks = [Check(e, target(options.frames.resolve(), e.class_name, e.video_id, layout), layout) for e in done]
    for found in progress(executors.run(check, checks, options.workers), "videos", total=len(checks)):
        problems += found
    problems += strangers(options.frames, done, layout)
    for problem in sorted(problems)[:PROBLEMS_SHOWN]:
        say(problem)
    frames = sum(entry.stored_frames for entry in done)
    if problems:
        raise InputError(
            f"{len(problems)} problems in {options.frames}: delete what is named above and run extract_frames.py again"
        )
    say(f"{len(done)} videos and {frames} frames are as the ledger says")
    return 0


def check(task: Check) -> list[str]:
    """What is wrong with one video's frames, a line each: missing, cut, changed or not as large as the ledger says."""
    entry = task.entry
    try:
        jpegs = read_frames(task.path, task.layout, entry.stored_frames)
    except InputError as error:
        return [str(error)]
    problems = []
    for number, jpeg in enumerate(jpegs, start=1):
        try:
            height, width = simplejpeg.decode_jpeg(jpeg, colorspace="RGB").shape[:2]
        except ValueError as error:
            problems.append(f"{task.path}, frame {number} does not decode: {error}")
            continue
        if (height, width) != (entry.frame_height, entry.frame_width):
            problems.append(
                f"{task.path}, frame {number} is {width}x{height}, the ledger says {entry.frame_width}x{entry.frame_height}"
            )
    if not problems and hashlib.sha256(b"".join(jpegs)).hexdigest() != entry.jpeg_sha256:
        problems.append(f"{task.path} has other bytes than were written")
    if task.layout == FOLDER and len(list(task.path.iterdir())) != entry.stored_frames:
        problems.append(f"{task.path} holds more files than its {entry.stored_frames} frames")
    return problems


def strangers(frames: Path, done: list[ledger.Entry], layout: str) -> list[str]:
    """What lies among the frames and belongs to no video that the ledger has as ok."""
    expected = {target(frames, entry.class_name, entry.video_id, layout) for entry in done}
    found = [path for folder in frames.iterdir() if folder.is_dir() for path in folder.iterdir()]
    kind = "zip" if layout == ZIP else "folder"
    return [f"{path} is no {kind} of a video that the ledger has as ok" for path in found if path not in expected]


if __name__ == "__main__":
    cli.run(main, Options)
