"""A contact sheet of a frames folder, for people to look at.

python preprocess/preview.py work/frames --out sheet.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from typing import Annotated

import tyro

from preprocess import catalog, ledger
from preprocess.common import cli
from preprocess.common.contact_sheet import SheetRow, check_picture, draw_sheet, spread, tile
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.frame_store import read_frames, target


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw a few frames of a few videos of each class, with their names, into one picture."""

    frames: Annotated[Path, tyro.conf.Positional] = Path("work/frames")
    """The frames folder."""
    out: Path = Path("sheet.png")
    """The picture to write, .png or .jpg."""
    classes: int = 12
    """Most classes to show, spread evenly over all."""
    videos: int = 2
    """Videos of each class."""
    tiles: int = 6
    """Frames of each video, spread evenly over its length."""


def main(options: Options) -> int:
    if min(options.classes, options.videos, options.tiles) < 1:
        raise InputError("--classes, --videos and --tiles are 1 or more")
    check_picture(options.out)
    listed, written = catalog.load(options.frames)
    entries = ledger.read(options.frames)
    rows = []
    for name in spread([n for n in listed.class_names if any(has_frames(e, n) for e in entries.values())], options.classes):
        for entry in spread([e for e in entries.values() if has_frames(e, name)], options.videos):
            path = target(options.frames, entry.class_name, entry.video_id, written.layout)
            jpegs = read_frames(path, written.layout, entry.stored_frames)
            lines = (entry.class_name, entry.video_id, f"{entry.stored_frames} frames")
            rows.append(SheetRow(lines, tuple(tile(jpeg) for jpeg in spread(jpegs, options.tiles))))
    if not rows:
        raise InputError(f"{options.frames} has no video that was extracted")
    draw_sheet(rows).save(options.out)
    say(f"{len(rows)} videos of {len({row.lines[0] for row in rows})} classes: {options.out}")
    return 0


def has_frames(entry: ledger.Entry, class_name: str) -> bool:
    """Whether the video is of this class and was extracted."""
    return entry.class_name == class_name and entry.status == ledger.OK


if __name__ == "__main__":
    cli.run(main, Options)
