from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.catalog import Video
from train.holdout import held_out


def candidates(groups: dict[str, str]) -> list[Video]:
    """`{"g1": "001"}` is a group of two videos of class 0 and one of class 1."""
    return [
        Video(class_name=g, video_id=str(i), label=int(label), path="", flags=(1,), group=g)
        for g, labels in groups.items()
        for i, label in enumerate(labels)
    ]


@pytest.mark.parametrize(
    ("groups", "fraction", "counts"),
    [
        ({f"{label}{g}": str(label) * 4 for label in (0, 1) for g in range(25)}, 0.1, {0: 8, 1: 8}),  # 8 or 12, wanted 10
        ({f"{label}{g}": str(label) for label in (0, 1) for g in range(10)}, 0.2, {0: 2, 1: 2}),
        ({"a": "0000000", "b": "1", "c": "1", "d": "1", "e": "1"}, 0.25, {1: 1}),  # a class of one group only trains
        ({"a": "00", "b": "01", "c": "01", "d": "11"}, 0.5, {0: 2, 1: 2}),
        ({"a": "0", "b": "0"}, 0.1, {}),
    ],
)
def test_every_class_gives_its_share_as_far_as_its_groups_allow(
    groups: dict[str, str], fraction: float, counts: dict[int, int]
) -> None:
    videos = candidates(groups)
    for seed in range(5):
        taken = held_out(videos, fraction, seed)
        found = {label: sum(v.label == label for v in videos if v.name in taken) for label in {v.label for v in videos}}
        assert {label: count for label, count in found.items() if count} == counts


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("012", min_size=1, max_size=6), max_size=12),
    st.floats(0.05, 0.5),
    st.integers(0, 3),
)
def test_no_group_is_parted_every_class_still_trains_and_the_listed_order_does_not_matter(
    groups: dict[str, str], fraction: float, seed: int
) -> None:
    videos = candidates(groups)
    taken = held_out(videos, fraction, seed)
    for group in groups:
        assert len({video.name in taken for video in videos if video.group == group}) == 1
    assert held_out(videos[::-1], fraction, seed) == taken
    for label in {video.label for video in videos}:
        assert any(video.label == label and video.name not in taken for video in videos)


def test_another_seed_holds_out_other_groups() -> None:
    videos = candidates({f"g{i}": "0" for i in range(20)})
    assert len({held_out(videos, 0.2, seed) for seed in range(4)}) == 4
