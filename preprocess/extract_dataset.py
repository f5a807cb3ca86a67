"""What preprocess/extract_frames.py does: every listed video to frames, and a ledger of what became of each."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from preprocess import catalog, ledger
from preprocess.annotations import ReaderOptions
from preprocess.annotations.find_videos import Matched
from preprocess.catalog import Catalog, Extraction
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.dataset_options import DatasetOptions
from preprocess.extract_video import Task, extract, given_up
from preprocess.frame_settings import different
from preprocess.workers import executors

NAMES_SHOWN = 25
FAILURES = "failures.csv"


@dataclass(frozen=True, kw_only=True)
class SplitOptions(ReaderOptions):
    """The reader's, with the shorter name that --split-seed has in this command."""

    split_seed: Annotated[int, tyro.conf.arg(aliases=["--seed"])] = 0
    """For folder: seed of that draw."""


@dataclass(frozen=True, kw_only=True)
class Options(DatasetOptions):
    """Decode every listed video into a folder of JPEGs, once, and keep a ledger of what became of each."""

    out: Path = Path("work/frames")
    """The frames folder to write, or to complete."""
    layout: Literal["dir", "zip"] = "dir"
    """dir, a folder of files a video, or zip, one stored zip a video with the same names inside: a file a frame is slow to
    make, and too many for some shared file systems."""
    reader: Annotated[ReaderOptions, tyro.conf.arg(name="")] = field(default_factory=SplitOptions)


def main(options: Options) -> int:
    options.check()
    say(f"{options.dataset} at {options.root} -> {options.out}")
    listed, matched = options.find_videos()
    extraction = Extraction(frame_settings=options.frame_settings, layout=options.layout, unlisted=matched.unlisted)
    files.refuse_other_folder(options.out, catalog.FILE_NAME, "a frames folder")
    with files.locked(options.out):
        refuse_mixing(options.out, listed, extraction)
        options.out.mkdir(parents=True, exist_ok=True)
        catalog.save(listed, options.out, extraction)
        began = time.monotonic()
        entries = extract_all(options, listed, matched)
        report(options, matched, entries, time.monotonic() - began)
    counts = ledger.counts(entries)
    options.check_outcome(
        failed=counts[ledger.FAILED],
        done=counts[ledger.OK],
        missing=counts[ledger.MISSING],
        see=str(options.out / FAILURES),
    )
    return 0


def refuse_mixing(out: Path, listed: Catalog, extraction: Extraction) -> None:
    """Check that frames of these lists and settings may go into `out`. Another split may: it leaves the frames as they are.

    Raises:
        InputError: `out` holds frames of another data set or of other settings.
    """
    if not (out / catalog.FILE_NAME).is_file():
        return
    before, written = catalog.load(out)
    if (before.dataset, before.class_names, before.release) != (listed.dataset, listed.class_names, listed.release):
        name = f"{before.dataset} {before.release}".strip()
        raise InputError(
            f"{out} holds frames of {name} with {len(before.class_names)} classes, not of "
            f"{f'{listed.dataset} {listed.release}'.strip()} with these {len(listed.class_names)}: choose another --out"
        )
    other = different(written.frame_settings, extraction.frame_settings)
    if not other and written.layout != extraction.layout:
        other = f"layout {written.layout}, not {extraction.layout}"
    if other:
        raise InputError(
            f"{out} holds frames of {other} as this run asks for: choose another --out, or delete that folder to start over"
        )
    if flags_of(before) != flags_of(listed):
        say(f"{out} had another split, drawn {before.split_source}; the frames are kept")
        say(f"the split is now drawn {listed.split_source}")


def flags_of(listed: Catalog) -> dict[str, tuple[int, ...]]:
    """The split flags of each video, by name."""
    return {video.name: video.flags for video in listed.videos}


def extract_all(options: Options, listed: Catalog, matched: Matched) -> list[ledger.Entry]:
    """Extract what is missing; returns one entry for each listed video, in the catalog's order, as in the ledger."""
    journal = ledger.journal(options.out)
    before = ledger.read(options.out)
    tasks = [
        Task(
            video=video,
            path=path,
            videos=options.videos.resolve(),
            frames=options.out.resolve(),
            layout=options.layout,
            settings=options.frame_settings,
            before=before.get(video.name),
        )
        for video, path in matched.found.items()
    ]
    entries = options.missing(matched)
    results = executors.run(
        extract, tasks, options.workers, options.cluster, crashed=given_up, timeout_s=options.video_timeout
    )
    for entry in progress(results, "videos", total=len(tasks)):
        entries[entry.name] = entry
        if entry != before.get(entry.name):
            journal.append(entry)
        if entry.status == ledger.FAILED:
            say(f"failed: {entry.path}: {entry.reason}")
    ordered = [entries[video.name] for video in listed.videos]
    journal.rewrite(ordered)
    write_failures(options.out, ordered)
    return ordered


def write_failures(out: Path, entries: list[ledger.Entry]) -> None:
    """Write failures.csv, one row a failed video with the decoder's own words, or remove it when none failed."""
    rows = [(e.class_name, e.video_id, e.path, e.reason) for e in entries if e.status == ledger.FAILED]
    if rows:
        import pandas as pd  # half a second, which a run without failures need not wait for

        table = pd.DataFrame(rows, columns=["class_name", "video_id", "path", "reason"])
        files.write_text(out / FAILURES, table.to_csv(index=False))
    else:
        (out / FAILURES).unlink(missing_ok=True)


def report(options: Options, matched: Matched, entries: list[ledger.Entry], seconds: float) -> None:
    """Print what became of every listed video and of every video on disk."""
    counts = ledger.counts(entries)
    frames = sum(entry.stored_frames for entry in entries)
    say(
        f"{len(entries)} listed videos = {counts[ledger.OK]} ok + {counts[ledger.FAILED]} failed + "
        f"{counts[ledger.MISSING]} missing; {frames} frames in {seconds:.1f} s"
    )
    differing = sum(entry.header_is_wrong for entry in entries)
    if differing:
        say(f"{differing} videos decode to another number of frames than their header says; the ledger has both counts")
    if matched.unlisted:
        shown = ", ".join(matched.unlisted[:NAMES_SHOWN]) + (", ..." if len(matched.unlisted) > NAMES_SHOWN else "")
        say(
            f"{len(matched.unlisted)} videos on disk are in no list and were left out: {shown} "
            f"(all in {options.out / catalog.FILE_NAME}, unlisted)"
        )
