"""A frames folder to the annotation JSON that the field exchanges, one file a split.

python preprocess/export_json.py --frames work/frames --split 1 --out work/split_1.json
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from preprocess import catalog, ledger
from preprocess.annotations import kenshohara_json
from preprocess.catalog import UNUSED
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say


@dataclass(frozen=True)
class Options:
    """Write the labels, subsets and frame counts of one split as JSON, for tools that read frames as JPEGs next to it."""

    frames: Path = Path("work/frames")
    """The frames folder that preprocess/extract_frames.py wrote."""
    split: str = "1"
    """Which of its splits."""
    out: Path = Path("work/split_1.json")
    """The JSON file to write; it appears whole or not at all."""


def main(options: Options) -> int:
    say(f"{options.frames}, split {options.split} -> {options.out}")
    listed, _ = catalog.load(options.frames)
    if options.split not in listed.splits:
        raise InputError(f"--split {options.split} is not in {options.frames}: it has {', '.join(listed.splits)}")
    entries = ledger.read(options.frames)
    ledger.check_finished(options.frames, listed, entries)
    refuse_other_file(options.out)
    index = listed.splits.index(options.split)
    ok = [video for video in listed.videos if entries[video.name].status == ledger.OK]
    counts = {video.name: entries[video.name].stored_frames for video in ok}
    value = kenshohara_json.to_value(listed.class_names, ok, index, counts)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(options.out, value)
    used = sum(video.flags[index] != UNUSED for video in listed.videos)
    subsets = [entry["subset"] for entry in value["database"].values()]
    say(
        f"{used} videos of split {options.split} = {subsets.count('training')} training + "
        f"{subsets.count('validation')} validation + {used - len(subsets)} failed or missing, which are left out"
    )
    return 0


def refuse_other_file(path: Path) -> None:
    """Check that `path` is such a JSON or absent, so that a mistyped --out replaces nothing else.

    Raises:
        InputError: it is another file.
    """
    if path.exists():
        try:
            kenshohara_json.parts(path)
        except InputError:
            raise InputError(f"{path} exists and is not an annotation JSON: choose another --out") from None


if __name__ == "__main__":
    cli.run(main, Options)
