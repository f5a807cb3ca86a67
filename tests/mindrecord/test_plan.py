from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindrecord.plan import MAX_PAGE_BYTES, MIB, PlannedVideo, cut, page_bytes, plan_shards

videos = st.lists(
    st.tuples(st.sampled_from([(1, 2), (2, 1), (1, 1)]), st.integers(0, 400_000)), min_size=1, max_size=60
).map(lambda items: [PlannedVideo(i, flags, 10, size) for i, (flags, size) in enumerate(items)])


@given(videos, st.integers(100_000, 2_000_000), st.integers(0, 5))
def test_every_video_is_in_one_shard_of_its_own_signature(planned: list[PlannedVideo], shard_bytes: int, seed: int) -> None:
    shards = plan_shards(planned, shard_bytes, seed)
    assert sorted(v.index for shard in shards for v in shard.videos) == list(range(len(planned)))
    assert all(video.flags == shard.flags for shard in shards for video in shard.videos)
    assert len({shard.file for shard in shards}) == len(shards)


@given(videos, st.integers(100_000, 2_000_000), st.integers(0, 5))
def test_a_shard_is_within_its_size_unless_one_video_alone_is_larger(
    planned: list[PlannedVideo], shard_bytes: int, seed: int
) -> None:
    for shard in plan_shards(planned, shard_bytes, seed):
        assert sum(v.row_bytes for v in shard.videos) <= shard_bytes or len(shard.videos) == 1


@given(videos, st.randoms())
def test_the_plan_depends_on_the_videos_and_the_seed_alone(planned: list[PlannedVideo], random: object) -> None:
    shuffled = list(planned)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_shards(shuffled, MIB, 3) == plan_shards(planned, MIB, 3)


def test_another_seed_spreads_the_videos_otherwise() -> None:
    planned = [PlannedVideo(i, (1,), 10, 1000) for i in range(50)]
    orders = [[v.index for v in plan_shards(planned, MIB, seed)[0].videos] for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != sorted(orders[0])  # classes, which follow each other in a catalog, are mixed


def test_shards_are_filled_evenly() -> None:
    planned = [PlannedVideo(i, (1,), 0, MIB) for i in range(9)]
    assert [len(part) for part in cut(planned, 6 * MIB)] == [5, 4]


@pytest.mark.parametrize(
    ("row", "page"), [(1, MIB), (MIB, MIB), (MIB + 1, 2 * MIB), (MAX_PAGE_BYTES, MAX_PAGE_BYTES), (MAX_PAGE_BYTES + 1, 0)]
)
def test_the_page_is_the_smallest_whole_mib_that_holds_the_largest_row(row: int, page: int) -> None:
    assert page_bytes(row) == page
