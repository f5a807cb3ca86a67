from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindrecord.plan import (
    HEADER_BYTES,
    MAX_PAGE_BYTES,
    MIB,
    PlannedRow,
    PlannedVideo,
    cut,
    end_of_rows,
    page_bytes,
    plan_shards,
    segment_rows,
)


def video(index: int, flags: tuple[int, ...], *sizes: int) -> PlannedVideo:
    """A video with one row of 10 frames a size."""
    return PlannedVideo(index, flags, tuple(PlannedRow(10 * i, 10, size) for i, size in enumerate(sizes)))


videos = st.lists(
    st.tuples(st.sampled_from([(1, 2), (2, 1), (1, 1)]), st.lists(st.integers(0, MIB), min_size=1, max_size=4)),
    min_size=1,
    max_size=60,
).map(lambda items: [video(i, flags, *sizes) for i, (flags, sizes) in enumerate(items)])
shard_sizes = st.integers(MIB, 20 * MIB)


@given(videos, shard_sizes, st.integers(0, 5))
def test_every_video_is_in_one_shard_of_its_own_signature(planned: list[PlannedVideo], shard_bytes: int, seed: int) -> None:
    shards = plan_shards(planned, shard_bytes, 2 * MIB, seed)
    assert sorted(v.index for shard in shards for v in shard.videos) == list(range(len(planned)))
    assert all(video.flags == shard.flags for shard in shards for video in shard.videos)
    assert len({shard.file for shard in shards}) == len(shards)


@given(videos, shard_sizes, st.integers(0, 5))
def test_a_file_is_within_its_size_unless_one_video_alone_is_larger(
    planned: list[PlannedVideo], shard_bytes: int, seed: int
) -> None:
    page = page_bytes(planned, shard_bytes)
    for shard in plan_shards(planned, shard_bytes, page, seed):
        rows_end = end_of_rows(0, (row for v in shard.videos for row in v.rows), page)
        assert HEADER_BYTES + page + rows_end <= shard_bytes or len(shard.videos) == 1


@given(videos, st.randoms())
def test_the_plan_depends_on_the_videos_and_the_seed_alone(planned: list[PlannedVideo], random: object) -> None:
    shuffled = list(planned)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_shards(shuffled, 9 * MIB, 2 * MIB, 3) == plan_shards(planned, 9 * MIB, 2 * MIB, 3)
    assert page_bytes(shuffled, 9 * MIB) == page_bytes(planned, 9 * MIB)


def test_another_seed_spreads_the_videos_otherwise() -> None:
    planned = [video(i, (1,), 1000) for i in range(50)]
    orders = [[v.index for v in plan_shards(planned, 9 * MIB, MIB, seed)[0].videos] for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != sorted(orders[0])  # classes, which follow each other in a catalog, are mixed


def test_shards_are_filled_evenly() -> None:
    planned = [video(i, (1,), MIB - 8192) for i in range(9)]
    assert [len(part) for part in cut(planned, 8 * MIB, MIB)] == [5, 4]


def test_a_row_that_the_rest_of_a_page_does_not_hold_begins_the_next() -> None:
    rows = video(0, (1,), 600, 600, 300).rows
    sizes = [row.row_bytes for row in rows]
    assert end_of_rows(0, rows, sum(sizes)) == sum(sizes)
    assert end_of_rows(0, rows, sum(sizes) - 1) == sum(sizes) - 1 + sizes[2]
    assert end_of_rows(0, rows, sizes[0]) == 2 * sizes[0] + sizes[2]


@pytest.mark.parametrize(
    ("frames", "starts", "counts"), [(1, [0], [1]), (16, [0], [16]), (17, [0, 16], [16, 1]), (40, [0, 16, 32], [16, 16, 8])]
)
def test_segments_follow_each_other_and_hold_every_frame(frames: int, starts: list[int], counts: list[int]) -> None:
    rows = segment_rows(range(frames), 16)
    assert [row.first_frame for row in rows] == starts
    assert [row.frames for row in rows] == counts
    assert sum(row.jpeg_bytes for row in rows) == sum(range(frames))
    assert rows[0].jpeg_bytes == sum(range(min(frames, 16)))


@pytest.mark.parametrize(
    ("rows", "page"),
    [
        ([1], MIB),
        ([MIB], 2 * MIB),
        ([20 * MIB - 8192], 20 * MIB),
        ([MAX_PAGE_BYTES - 8192], MAX_PAGE_BYTES),
        ([MAX_PAGE_BYTES], 0),
        ([1100 << 10] * 1000, 12 * MIB),  # sqrt(1.07 / 2 * 256)
        ([1000] * 1000, MIB),
    ],
)
def test_the_page_holds_the_largest_row_and_leaves_few_holes(rows: list[int], page: int) -> None:
    assert page_bytes([video(i, (1,), size) for i, size in enumerate(rows)], 256 * MIB) == page
