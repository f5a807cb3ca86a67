"""Time frame extraction against one ffmpeg process a clip, in turn, and print the ratio.

    python scripts/bench_extract.py --videos data/UCF101/video/Punch

Both sides write JPEGs of the same geometry from the same clips with two processes at a time. ffmpeg gets the lowest quality
(`-qmin 1 -q:v`) whose files are together not smaller than ours, or its best. Ours is the whole command, interpreter and
workers starting included. It takes the ffmpeg on the PATH, or that of the imageio-ffmpeg package: they differ by a factor of
two, and the first line says which it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import av

from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.decoding.ffmpeg_backend import find_ffmpeg
from preprocess.frame_store import FRAME_NAME, LAYOUTS
from scripts.benchmarking import report

ROOT = Path(__file__).resolve().parents[1]
FFMPEG_FRAMES = FRAME_NAME.format(0).replace("00000", "%05d")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time frame extraction against one ffmpeg process a clip, in turn, and print the ratio."""

    videos: Path
    """A folder of clips."""
    short_sides: tuple[int, ...] = (240, 128)
    """Pixels of the shorter side, one comparison each."""
    quality: int = 90
    """JPEG quality of our side."""
    pairs: int = 5
    """How often each side runs, in turn, after one run that is not counted."""
    processes: int = 2
    """Processes at a time, on both sides."""
    json: Path | None = None
    """Write the figures here too, with machine, versions, commit and date."""


def main(options: Options) -> int:
    clips = sorted(path for path in options.videos.glob("*") if path.is_file())
    if not clips:
        raise InputError(f"--videos {options.videos} is no folder of clips")
    frames = sum(decoded_frames(clip) for clip in clips)
    said = subprocess.run([find_ffmpeg(), "-version"], check=True, capture_output=True, text=True).stdout
    version = said.split()[2]
    print(f"{find_ffmpeg()}: {version}")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        (data / "video").mkdir(parents=True)
        (data / "video" / "Clips").symlink_to(options.videos.resolve())
        for short_side in options.short_sides:
            for layout in LAYOUTS:
                row = compare(options, clips, data, short_side, layout, Path(scratch))
                rows.append(row)
                print("  ".join(f"{name} {value}" for name, value in row.items()))
    figures = {
        "clips": len(clips),
        "frames": frames,
        "quality": options.quality,
        "processes": options.processes,
        "pairs": options.pairs,
        "ffmpeg": version,
        "rows": rows,
    }
    report("extract", figures, options.json)
    return 0


def compare(
    options: Options, clips: list[Path], data: Path, short_side: int, layout: str, scratch: Path
) -> dict[str, float | int | str]:
    """Time both sides `pairs` times in turn; medians in seconds, the median of the pairs' ratios, bytes of each side."""

    def ours(out: Path) -> None:
        command = [sys.executable, str(ROOT / "preprocess/extract_frames.py"), "--dataset", "folder", "--root", str(data)]
        command += ["--out", str(out), "--short-side", str(short_side), "--quality", str(options.quality)]
        command += ["--layout", layout, "--workers", str(options.processes)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def theirs(q: int) -> Callable[[Path], None]:
        def extract(out: Path) -> None:
            with ThreadPoolExecutor(options.processes) as pool:
                for job in [pool.submit(ffmpeg_clip, clip, out / clip.stem, short_side, q) for clip in clips]:
                    job.result()

        return extract

    _, our_bytes = timed(ours, scratch)
    q = 1
    while q < 31 and timed(theirs(q + 1), scratch)[1] >= our_bytes:
        q += 1
    decode_s = median(timed(lambda _: decode_all(clips, options.processes), scratch)[0] for _ in range(options.pairs))
    our_times, their_times, their_bytes = [], [], 0
    for _ in range(options.pairs):
        our_times.append(timed(ours, scratch)[0])
        seconds, their_bytes = timed(theirs(q), scratch)
        their_times.append(seconds)
    ratios = [a / b for a, b in zip(our_times, their_times, strict=True)]
    return {
        "short_side": short_side,
        "layout": layout,
        "ratio": round(median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "ours_s": round(median(our_times), 2),
        "ffmpeg_s": round(median(their_times), 2),
        "decode_only_s": round(decode_s, 2),
        "ours_over_decode_only": round(median(our_times) / decode_s, 2),
        "ours_mb": round(our_bytes / 1e6, 1),
        "ffmpeg_mb": round(their_bytes / 1e6, 1),
        "ffmpeg_q": q,
    }


def timed(action: Callable[[Path], None], scratch: Path) -> tuple[float, int]:
    """Let `action` write into a new folder; returns its seconds and the bytes of the frames it wrote.

    The folder stays until the end: on ext4, making files just after as many were deleted takes ten times as long, since
    inodes deleted within the last seconds are passed over one by one. What earlier runs wrote is on disk before this begins.
    """
    out = Path(tempfile.mkdtemp(dir=scratch)) / "out"
    os.sync()
    began = time.perf_counter()
    action(out)
    seconds = time.perf_counter() - began
    written = sum(p.stat().st_size for p in out.rglob("*") if p.suffix in (".jpg", ".zip")) if out.exists() else 0
    return seconds, written


def ffmpeg_clip(clip: Path, folder: Path, short_side: int, q: int) -> None:
    """One ffmpeg process: a clip to numbered JPEGs."""
    folder.mkdir(parents=True)
    scale = f"scale='if(lte(min(iw,ih),{short_side}),iw,round(iw*{short_side}/min(iw,ih)))':-1"
    command = [find_ffmpeg(), "-v", "error", "-nostdin", "-i", str(clip), "-vf", scale, "-qmin", "1", "-q:v", str(q)]
    subprocess.run([*command, str(folder / FFMPEG_FRAMES)], check=True)


DECODE = """
import sys, av
for path in sys.argv[1:]:
    with av.open(path, metadata_errors="ignore") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            pass
"""


def decode_all(clips: list[Path], processes: int) -> None:
    """Decode every clip and keep nothing, on as many processes: what no extractor can go below."""
    parts = [[str(clip) for clip in clips[i::processes]] for i in range(processes)]
    running = [subprocess.Popen([sys.executable, "-c", DECODE, *part]) for part in parts]
    if any(process.wait() for process in running):
        raise InputError("a clip does not decode: see above")


def decoded_frames(clip: Path) -> int:
    """How many frames a clip has."""
    with av.open(str(clip), metadata_errors="ignore") as container:
        return sum(1 for _ in container.decode(video=0))


if __name__ == "__main__":
    cli.run(main, Options)
