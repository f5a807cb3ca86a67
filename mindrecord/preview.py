"""What a records folder holds: a summary, and a contact sheet read from its shards, for people to look at.

python mindrecord/preview.py work/records --out sheet.png
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from typing import Annotated, Any

import simplejpeg
import tyro

from mindrecord import manifest
from mindrecord.manifest import Manifest, Shard
from mindrecord.plan import MIB
from mindrecord.row_reader import read_rows
from preprocess.catalog import TEST, TRAIN, UNUSED
from preprocess.common import cli
from preprocess.common.contact_sheet import SheetRow, check_picture, draw_sheet, spread, tile
from preprocess.common.errors import InputError
from preprocess.common.progress import say

SIDES = {UNUSED: "unused", TRAIN: "train", TEST: "test"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Say what a records folder holds, and draw a few frames of a few clips of each class, with their names."""

    records: Annotated[Path, tyro.conf.Positional] = Path("work/records")
    """The records folder."""
    out: Path = Path("sheet.png")
    """The picture to write, .png or .jpg."""
    classes: int = 12
    """Most classes to show, spread evenly over all."""
    clips: int = 2
    """Clips of each class, of different videos."""
    tiles: int = 6
    """Frames of each clip, spread evenly over its length."""


def main(options: Options) -> int:
    if min(options.classes, options.clips, options.tiles) < 1:
        raise InputError("--classes, --clips and --tiles are 1 or more")
    check_picture(options.out)
    packed = manifest.load(options.records)
    for line in summary(packed):
        say(line)
    sheet, sizes = read_sheet(options, packed)
    read = sum(sizes.values())
    for (width, height), count in sizes.most_common():
        say(f"frames of {width}x{height}: {count} of the {read} rows that were read")
    draw_sheet(sheet).save(options.out)
    say(f"{len(sheet)} clips of {len({row.lines[0] for row in sheet})} classes: {options.out}")
    return 0


def summary(packed: Manifest) -> list[str]:
    """The manifest in a few lines: the data set, then a table of the splits, then one of the split signatures."""
    shards = packed.shards
    classes = f"{len(packed.class_names)} classes, {len(used_videos(packed))} with videos"
    videos, rows, frames = (sum(getattr(shard, name) for shard in shards) for name in ("videos", "rows", "frames"))
    settings = ", ".join(f"{name} {value}" for name, value in packed.settings.items())
    splits: list[tuple[str, ...]] = [("split", "train", "test", "listed, not packed")]
    for index, split in enumerate(packed.splits):
        packed_of = [sum(shard.videos for shard in packed.shards_of(split, flag)) for flag in (TRAIN, TEST)]
        absent = sum(video.flags[index] != UNUSED for video in packed.absent)
        splits.append((split, *map(str, packed_of), str(absent)))
    groups: dict[tuple[int, ...], list[Shard]] = {}
    for shard in shards:
        groups.setdefault(shard.flags, []).append(shard)
    columns = (*(f"split {split}" for split in packed.splits), "shards", "videos", "rows", "frames", "MiB")
    signatures: list[tuple[str, ...]] = [("signature", *columns)]
    for flags, members in groups.items():
        numbers = [sum(getattr(shard, name) for shard in members) for name in ("videos", "rows", "frames")]
        size_mb = sum(file.size_bytes for shard in members for file in shard.stored_files) / MIB
        sides = [SIDES[flag] for flag in flags]
        signatures.append(("".join(map(str, flags)), *sides, str(len(members)), *map(str, numbers), f"{size_mb:.1f}"))
    return [
        f"{packed.dataset}: {classes}, {videos} videos in {rows} rows, {frames} frames",
        f"frames: {packed.frame_settings}; {settings}",
        f"splits drawn {packed.split_source}",
        "",
        *table(splits),
        "",
        *table(signatures),
        "",
    ]


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with the first column on the left of its width, the others on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def read_sheet(options: Options, packed: Manifest) -> tuple[list[SheetRow], Counter[tuple[int, int]]]:
    """Read rows until there are enough clips of each class: the sheet's rows, in the order of classes, and how many of the
    rows read have frames of which width and height.

    MindRecord reads a row whole, so that looking for clips anywhere but in the first shards would cost as much as verifying.
    """
    there = used_videos(packed)
    shown = spread(list(there), options.classes)
    clips: dict[str, dict[str, SheetRow]] = {name: {} for name in shown}
    sizes = Counter[tuple[int, int]]()
    missing = sum(min(there[name], options.clips) for name in shown)
    for row in chain.from_iterable(read_rows(options.records / shard.file) for shard in packed.shards):
        height, width, *_ = simplejpeg.decode_jpeg_header(row["jpegs"][: row["offsets"][1]])
        sizes[width, height] += 1
        of_class = clips.get(row["class_name"], {})
        if row["class_name"] in clips and row["video_id"] not in of_class and len(of_class) < options.clips:
            of_class[row["video_id"]] = sheet_row(row, packed.splits, options.tiles)
            missing -= 1
            if not missing:
                break
    return [clip for name in shown for clip in clips[name].values()], sizes


def used_videos(packed: Manifest) -> dict[str, int]:
    """The classes of which a split uses videos, and how many, in the split that uses the most."""
    most = {
        name: max(sides["train"][label] + sides["test"][label] for sides in packed.class_videos.values())
        for label, name in enumerate(packed.class_names)
    }
    return {name: videos for name, videos in most.items() if videos}


def sheet_row(row: Mapping[str, Any], splits: tuple[str, ...], tiles: int) -> SheetRow:
    """A row of a shard on the sheet: which video, which of its frames, which splits it trains and tests."""
    first, frames, total = int(row["first_frame"]), len(row["offsets"]) - 1, int(row["video_frames"])
    part = f"{frames} frames" if frames == total else f"frames {first} to {first + frames - 1} of {total}"
    sides: dict[str, list[str]] = {}
    for split, flag in zip(splits, row["flags"], strict=True):
        sides.setdefault(SIDES[int(flag)], []).append(split)
    use = "; ".join(f"{side} in {', '.join(names)}" for side, names in sides.items())
    jpegs = [row["jpegs"][start:end] for start, end in pairwise(row["offsets"])]
    return SheetRow((row["class_name"], row["video_id"], part, use), tuple(tile(jpeg) for jpeg in spread(jpegs, tiles)))


if __name__ == "__main__":
    cli.run(main, Options)
