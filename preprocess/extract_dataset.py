"""What preprocess/extract_frames.py does: every listed video to frames, and a ledger of what became of each."""

from __future__ import annotations

import math
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from preprocess import catalog, frame_store, ledger
from preprocess.annotations import ReaderOptions, read_catalog, videos_folder
from preprocess.annotations.find_videos import Matched, match
from preprocess.catalog import Catalog
from preprocess.common import files
from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from preprocess.decoding.backends import check_backend
from preprocess.extract_video import Settings, Task, extract, failed
from preprocess.workers import executors

NAMES_SHOWN = 25
FAILURES = "failures.csv"


@dataclass(frozen=True)
class Options:
    """Decode every listed video into a folder of JPEGs, once, and keep a ledger of what became of each."""

    dataset: str = "ucf101"
    """Whose lists to read: ucf101, hmdb51, activitynet, kinetics400, kinetics600, kinetics700, moments, kinetics700_moments,
    json (the annotation JSON that the field exchanges), or folder (your own, video/<Class>/<name>)."""
    root: Path = Path("data/UCF101")
    """The data set's folder; holds video/ and split/, for kinetics700_moments kinetics700/ and moments/ that hold them."""
    out: Path = Path("work/frames")
    """The frames folder to write, or to complete."""
    short_side: int = 240
    """Scale frames so that the shorter side has this many pixels (never enlarged). 240 as the paper; 128 is enough for
    training at 112 and twice as fast to read; 0 keeps the size."""
    quality: int = 90
    """JPEG quality, 1 to 100."""
    layout: str = "dir"
    """dir, a folder of files a video, or zip, one stored zip a video with the same names inside: a file a frame is slow to
    make, and too many for some shared file systems."""
    fps: float = 0.0
    """Keep so many frames a second, evenly; 0 keeps all, and so does a rate above the video's own."""
    max_frames: int = 0
    """Keep at most so many frames of a video; 0 keeps all."""
    backend: str = "pyav"
    """What decodes: pyav, or ffmpeg, a program of this machine, for codecs that PyAV lacks."""
    keep_partial: bool = False
    """A video that breaks off keeps the frames before the break, instead of counting as failed; the ledger says so."""
    workers: int = 0
    """Processes; 0 takes every core this process may use."""
    cluster: str = ""
    """A Dask cluster instead of processes here: tcp://host:port of its scheduler, or local:N."""
    allow_missing: bool = False
    """Listed videos that are not on disk are counted and left out, instead of ending with exit code 2."""
    max_failures: str = "0"
    """How many videos, or what share of those on disk (as 5%), may fail to decode before the exit code is 2. The others
    are extracted in any case."""
    split_by: str = ReaderOptions.split_by
    """For folder: random, a fifth of each class's clips is drawn for testing, or group, clips of one group stay together."""
    seed: int = ReaderOptions.seed
    """For folder: seed of that draw."""
    group_pattern: str = ReaderOptions.group_pattern
    """For folder: a regular expression that fits a file's name without its suffix and has the group in parentheses; as it
    is, all before the last underscore. A name that it does not fit is a group of its own."""
    hmdb51_release: str = ReaderOptions.hmdb51_release
    """For hmdb51: whether the videos are those of the original or the stabilised release; names and lists are the same."""

    @property
    def videos(self) -> Path:
        """The folder that the listed paths are relative to."""
        return videos_folder(self.dataset, self.root)

    @property
    def reader(self) -> ReaderOptions:
        """What the data set's reader is told."""
        return ReaderOptions(self.split_by, self.seed, self.group_pattern, self.hmdb51_release)


def main(options: Options) -> int:
    check(options)
    say(f"{options.dataset} at {options.root} -> {options.out}")
    listed, matched = find_videos(options)
    settings = asdict(extraction_settings(options)) | options.reader.recorded(options.dataset)
    files.refuse_other_folder(options.out, catalog.FILE_NAME, "a frames folder")
    with files.locked(options.out):
        refuse_mixing(options.out, listed, settings)
        options.out.mkdir(parents=True, exist_ok=True)
        catalog.save(listed, options.out, settings=settings, unlisted=list(matched.unlisted))
        began = time.monotonic()
        entries = extract_all(options, listed, matched)
        report(options, matched, entries, time.monotonic() - began)
    return exit_code(options, listed, entries)


def find_videos(options: Options) -> tuple[Catalog, Matched]:
    """Read the lists and find their videos. Raises InputError when none is there."""
    listed = read_catalog(options.dataset, options.root, options.reader)
    matched = match(listed, options.videos)
    if not matched.found:
        raise InputError(
            f"none of the {len(listed.videos)} listed videos is under {options.videos}: "
            f"the first would be {options.videos / listed.videos[0].path}"
        )
    return listed, matched


def missing(options: Options, matched: Matched) -> dict[str, ledger.Entry]:
    """The lines of the videos that are not on disk, by name."""
    return {
        video.name: ledger.Entry(video.class_name, video.video_id, video.path, ledger.MISSING, f"not under {options.videos}")
        for video in matched.missing
    }


def check(options: Options) -> None:
    """Raise InputError on a value out of range."""
    if not 1 <= options.quality <= 100:
        raise InputError(f"--quality {options.quality} is not between 1 and 100")
    if min(options.short_side, options.fps, options.max_frames) < 0 or not math.isfinite(options.fps):
        raise InputError("--short-side, --fps and --max-frames are numbers of 0 or more")
    worker_count(options.workers)
    if options.layout not in frame_store.LAYOUTS:
        raise InputError(f"--layout {options.layout} is not one of {', '.join(frame_store.LAYOUTS)}")
    allowed_failures(options.max_failures, 0)
    check_backend(options.backend)


def extraction_settings(options: Options) -> Settings:
    """What of the options shapes the frames."""
    return Settings(
        short_side=options.short_side,
        quality=options.quality,
        layout=options.layout,
        fps=options.fps,
        max_frames=options.max_frames,
        keep_partial=options.keep_partial,
        backend=options.backend,
    )


def allowed_failures(text: str, found: int) -> int:
    """`--max-failures` as a number of videos. Raises InputError unless it is a count or a percentage."""
    parts = re.fullmatch(r"(\d+)(%?)", text)
    if parts is None:
        raise InputError(f"--max-failures {text} is neither a count nor a percentage, such as 3 or 5%")
    return found * int(parts[1]) // 100 if parts[2] else int(parts[1])


def refuse_mixing(out: Path, listed: Catalog, settings: dict[str, object]) -> None:
    """Raise InputError when `out` holds frames of another data set or of other settings."""
    if not (out / catalog.FILE_NAME).is_file():
        return
    before, written = catalog.load(out)
    if (before.dataset, before.class_names) != (listed.dataset, listed.class_names):
        raise InputError(
            f"{out} holds frames of {before.dataset} with {len(before.class_names)} classes, these lists have "
            f"other classes: choose another --out"
        )
    for name, value in settings.items():
        if written["settings"].get(name) != value:
            raise InputError(
                f"{out} holds frames of {name} {written['settings'].get(name)}, this run asks for {value}: "
                "choose another --out, or delete that folder to start over"
            )


def extract_all(options: Options, listed: Catalog, matched: Matched) -> list[ledger.Entry]:
    """Extract what is not there yet; returns one entry a listed video, in the catalog's order, as the ledger has it."""
    before = ledger.read(options.out)
    ledger.rewrite(options.out, before.values())  # without a last line that was cut off, which would swallow the next
    settings = extraction_settings(options)
    tasks = [
        Task(video, path, options.videos.resolve(), options.out.resolve(), settings, before.get(video.name))
        for video, path in matched.found.items()
    ]
    entries = missing(options, matched)
    results = executors.run(extract, tasks, options.workers, options.cluster, crashed=failed)
    for entry in progress(results, "videos", total=len(tasks)):
        entries[entry.name] = entry
        if entry != before.get(entry.name):
            ledger.append(options.out, entry)
        if entry.status == ledger.FAILED:
            say(f"failed: {entry.path}: {entry.reason}")
    ordered = [entries[video.name] for video in listed.videos]
    ledger.rewrite(options.out, ordered)
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
    """Say what became of every listed video and of every video on disk."""
    counts = ledger.counts(entries)
    frames = sum(entry.decoded_frames for entry in entries)
    say(
        f"{len(entries)} listed videos = {counts[ledger.OK]} ok + {counts[ledger.FAILED]} failed + "
        f"{counts[ledger.MISSING]} missing; {frames} frames in {seconds:.1f} s"
    )
    differing = sum(e.status == ledger.OK and e.declared_frames not in (0, e.decoded_frames) for e in entries)
    if differing:
        say(f"{differing} videos decode to another number of frames than their header says; the ledger has both counts")
    if matched.unlisted:
        shown = ", ".join(matched.unlisted[:NAMES_SHOWN]) + (", ..." if len(matched.unlisted) > NAMES_SHOWN else "")
        say(
            f"{len(matched.unlisted)} videos on disk are in no list and were left out: {shown} "
            f"(all in {options.out / catalog.FILE_NAME}, unlisted)"
        )


def exit_code(options: Options, listed: Catalog, entries: list[ledger.Entry]) -> int:
    """0, or InputError when more videos failed or are missing than was allowed. What could be done is done."""
    counts = ledger.counts(entries)
    if counts[ledger.FAILED] > allowed_failures(options.max_failures, counts[ledger.OK] + counts[ledger.FAILED]):
        raise InputError(
            f"{counts[ledger.FAILED]} videos failed, --max-failures is {options.max_failures}: see "
            f"{options.out / FAILURES}; the others are extracted"
        )
    if counts[ledger.MISSING] and not options.allow_missing:
        raise InputError(
            f"{counts[ledger.MISSING]} of {len(listed.videos)} listed videos are not under "
            f"{options.videos}; the others are extracted. If that is meant, pass --allow-missing"
        )
    return 0
