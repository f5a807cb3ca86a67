"""Damage videos at random and see that extraction accounts for every one of them.

    python scripts/fuzz_extract.py --videos data/UCF101/video/Punch

Each damaged copy has bytes flipped, its end cut off, or rubbish appended; which, is a function of the seed. The real command
extracts them all, under a time limit. It must end by itself, leave no half-written frames, name every video as ok or failed,
and what it calls ok must pass preprocess/verify.py.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from preprocess import ledger
from preprocess.common import cli
from preprocess.common.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("flipped", "cut", "extended", "flipped and cut")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Damage videos at random and see that extraction accounts for every one of them."""

    videos: Path
    """A folder of whole videos; the smallest are taken."""
    count: int = 300
    """Damaged copies to make."""
    seed: int = 0
    """Seed of the damage."""
    layout: str = "zip"
    """dir or zip."""
    limit_s: int = 600
    """Seconds after which the run counts as hanging."""


def main(options: Options) -> int:
    sources = sorted(
        (path for path in options.videos.rglob("*") if path.is_file() and path.stat().st_size),
        key=lambda path: path.stat().st_size,
    )[:20]
    if not sources:
        raise InputError(f"--videos {options.videos} has no file")
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "data/video/Damaged", Path(scratch) / "frames"
        folder.mkdir(parents=True)
        for i in range(options.count):
            source = sources[i % len(sources)]
            kind = KINDS[i % len(KINDS)]
            name = f"{i:04d}_{kind.replace(' ', '_')}{source.suffix}"
            (folder / name).write_bytes(damage(source.read_bytes(), kind, np.random.default_rng([options.seed, i])))
        command = [sys.executable, str(ROOT / "preprocess/extract_frames.py"), "--dataset", "folder"]
        command += [
            "--root",
            str(folder.parents[1]),
            "--out",
            str(out),
            "--layout",
            options.layout,
            "--max-failures",
            "100%",
        ]
        try:
            subprocess.run(command, check=True, timeout=options.limit_s, stdout=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise InputError(f"extraction did not end within {options.limit_s} s") from None
        entries = ledger.read(out).values()
        counts = ledger.counts(entries)
        if counts[ledger.OK] + counts[ledger.FAILED] != options.count:
            raise InputError(f"of {options.count} videos {counts[ledger.OK]} are ok and {counts[ledger.FAILED]} failed")
        if left := list(out.rglob(".*")):
            raise InputError(f"half-written frames were left: {left[0]}")
        subprocess.run([sys.executable, str(ROOT / "preprocess/verify.py"), str(out)], check=True, stdout=subprocess.DEVNULL)
    print(f"{options.count} damaged videos = {counts[ledger.OK]} ok + {counts[ledger.FAILED]} failed, none lost")
    reasons = Counter(" ".join(entry.reason.split()[:4]) for entry in entries if entry.status == ledger.FAILED)
    for reason, count in reasons.most_common():
        print(f"{count:5d}  {reason} ...")
    return 0


def damage(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """A damaged copy of a file's bytes."""
    changed = bytearray(data)
    if "flipped" in kind:
        for position in rng.integers(0, len(changed), int(rng.integers(1, 200))):
            changed[position] ^= int(rng.integers(1, 256))
        for position in rng.integers(0, min(4096, len(changed)), int(rng.integers(0, 8))):  # and in the headers
            changed[position] ^= int(rng.integers(1, 256))
    if "cut" in kind:
        del changed[int(rng.integers(0, len(changed))) :]
    if kind == "extended":
        changed += rng.bytes(int(rng.integers(1, 200_000)))
    return bytes(changed)


if __name__ == "__main__":
    cli.run(main, Options)
