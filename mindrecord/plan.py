"""Which video goes to which shard: a pure function of the videos, the shard size and a seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MIB = 1 << 20
HEADER_BYTES = MIB
MIN_PAGE_BYTES, MAX_PAGE_BYTES = MIB, 256 * MIB  # MindRecord allows 32 KiB to 256 MiB
ROW_OVERHEAD_BYTES = 4096  # names, label, flags; the offsets are counted by themselves


@dataclass(frozen=True)
class PlannedRow:
    """One row: `frames` frames of a video from the 0-based `first_frame` on, and the bytes of their JPEGs."""

    first_frame: int
    frames: int
    jpeg_bytes: int

    @property
    def row_bytes(self) -> int:
        """An upper bound of the row in the shard."""
        return self.jpeg_bytes + 8 * (self.frames + 1) + ROW_OVERHEAD_BYTES


@dataclass(frozen=True)
class PlannedVideo:
    """What the plan needs to know: the video's place in the catalog, its split flags, and its rows in order."""

    index: int
    flags: tuple[int, ...]
    rows: tuple[PlannedRow, ...]


@dataclass(frozen=True)
class PlannedShard:
    """A shard's file name, the split flags that all its videos share, and the videos in the order of their rows."""

    file: str
    flags: tuple[int, ...]
    videos: tuple[PlannedVideo, ...]


def segment_rows(frame_bytes: Sequence[int], segment_frames: int) -> tuple[PlannedRow, ...]:
    """A video's rows of at most `segment_frames` frames, given the bytes of each of its frames."""
    starts = range(0, len(frame_bytes), segment_frames)
    parts = [frame_bytes[start : start + segment_frames] for start in starts]
    return tuple(PlannedRow(start, len(part), sum(part)) for start, part in zip(starts, parts, strict=True))


def plan_shards(videos: Sequence[PlannedVideo], shard_bytes: int, page: int, seed: int) -> list[PlannedShard]:
    """Group videos by split signature, shuffle each group, and cut it into files of about equal, at most `shard_bytes`.

    A video larger than that makes a shard of its own. Shuffling mixes the classes, so that any shard is a fair sample of
    its group.
    """
    groups: dict[tuple[int, ...], list[PlannedVideo]] = {}
    for video in sorted(videos, key=lambda v: v.index):
        groups.setdefault(video.flags, []).append(video)
    shards = []
    for flags, members in sorted(groups.items()):
        order = np.random.default_rng([seed, *flags]).permutation(len(members))
        signature = "".join(map(str, flags))
        for number, part in enumerate(cut([members[i] for i in order], shard_bytes, page)):
            shards.append(PlannedShard(f"split-{signature}-{number:05d}.mindrecord", flags, tuple(part)))
    return shards


def cut(videos: Sequence[PlannedVideo], shard_bytes: int, page: int) -> list[list[PlannedVideo]]:
    """Cut a sequence into runs whose files have at most `shard_bytes` each, about equally full."""
    room = shard_bytes - HEADER_BYTES - page  # the page of the small fields is a hole but for them
    total = end_of_rows(0, (row for video in videos for row in video.rows), page)
    aim = total / max(-(-total // max(room, 1)), 1)
    parts: list[list[PlannedVideo]] = []
    filled = 0
    for video in videos:
        end = end_of_rows(filled, video.rows, page)
        if not parts or filled >= aim or end > room:
            parts.append([])
            end = end_of_rows(0, video.rows, page)
        parts[-1].append(video)
        filled = end
    return parts


def end_of_rows(position: int, rows: Iterable[PlannedRow], page: int) -> int:
    """Where rows end that are written from `position` on: one that the rest of a page does not hold begins the next."""
    for row in rows:
        rest = -position % page
        position += row.row_bytes + (rest if row.row_bytes > rest else 0)
    return position


def page_bytes(videos: Sequence[PlannedVideo], shard_bytes: int) -> int:
    """The page size for all shards, which MindRecord wants to be one, in whole MiB; 0 when none holds the largest row.

    A row may not span pages, and the rest of a page that does not hold the next row stays a hole. In a shard of D bytes
    with rows of r on average these are about r/2 * D/page, and the small fields' page is another of about `page`: together
    least at page = sqrt(r/2 * D).
    """
    sizes = [row.row_bytes for video in videos for row in video.rows]
    shard = min(shard_bytes, sum(sizes) / len({video.flags for video in videos}))
    best = math.sqrt(sum(sizes) / len(sizes) / 2 * shard)
    page = min(max(-(-max(sizes) // MIB), round(best / MIB)) * MIB, MAX_PAGE_BYTES)
    return max(page, MIN_PAGE_BYTES) if max(sizes) <= MAX_PAGE_BYTES else 0
