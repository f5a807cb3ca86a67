"""Which video goes to which shard: a pure function of the videos, the shard size and a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIB = 1 << 20
MIN_PAGE_BYTES, MAX_PAGE_BYTES = MIB, 256 * MIB  # MindRecord allows 32 KiB to 256 MiB
ROW_OVERHEAD_BYTES = 4096  # names, label, flags; the offsets are counted by themselves


@dataclass(frozen=True)
class PlannedVideo:
    """What the plan needs to know: the video's place in the catalog, its split flags, its frames and their bytes."""

    index: int
    flags: tuple[int, ...]
    frames: int
    jpeg_bytes: int

    @property
    def row_bytes(self) -> int:
        """An upper bound of the row in the shard."""
        return self.jpeg_bytes + 8 * (self.frames + 1) + ROW_OVERHEAD_BYTES


@dataclass(frozen=True)
class PlannedShard:
    """A shard's file name, the split flags that all its videos share, and the videos in the order of their rows."""

    file: str
    flags: tuple[int, ...]
    videos: tuple[PlannedVideo, ...]


def plan_shards(videos: Sequence[PlannedVideo], shard_bytes: int, seed: int) -> list[PlannedShard]:
    """Group videos by split signature, shuffle each group, and cut it into shards of about equal, at most `shard_bytes`.

    A video larger than `shard_bytes` makes a shard of its own. Shuffling mixes the classes, so that any shard is a fair
    sample of its group.
    """
    groups: dict[tuple[int, ...], list[PlannedVideo]] = {}
    for video in sorted(videos, key=lambda v: v.index):
        groups.setdefault(video.flags, []).append(video)
    shards = []
    for flags, members in sorted(groups.items()):
        order = np.random.default_rng([seed, *flags]).permutation(len(members))
        signature = "".join(map(str, flags))
        for number, part in enumerate(cut([members[i] for i in order], shard_bytes)):
            shards.append(PlannedShard(f"split-{signature}-{number:05d}.mindrecord", flags, tuple(part)))
    return shards


def cut(videos: Sequence[PlannedVideo], shard_bytes: int) -> list[list[PlannedVideo]]:
    """Cut a sequence into runs of at most `shard_bytes` each, about equally full."""
    total = sum(video.row_bytes for video in videos)
    aim = total / max(-(-total // shard_bytes), 1)
    parts: list[list[PlannedVideo]] = []
    filled = 0
    for video in videos:
        if not parts or filled >= aim or filled + video.row_bytes > shard_bytes:
            parts.append([])
            filled = 0
        parts[-1].append(video)
        filled += video.row_bytes
    return parts


def page_bytes(largest_row: int) -> int:
    """The MindRecord page that holds the largest row, in whole MiB; a row may not span pages. 0 when none can."""
    page = max(-(-largest_row // MIB) * MIB, MIN_PAGE_BYTES)
    return page if page <= MAX_PAGE_BYTES else 0
