from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train import sampling
from train.sampling import SAMPLERS, Views, dense_clip, spread_windows, windows
from train.training_data import clip_rng

counts, lengths, strides = st.integers(1, 200), st.integers(1, 32), st.integers(1, 4)


class Drawn:
    """A generator that draws the same number always."""

    def __init__(self, u: float) -> None:
        self.u = u

    def random(self, size: int | None = None) -> float | np.ndarray:
        return self.u if size is None else np.full(size, self.u)


DRAWN = re.findall(r"^ +(\w+), stride (\d) +((?:[.xabc] +){11}[.xabc])", sampling.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize(("name", "stride", "drawing"), DRAWN, ids=[f"{name} {stride}" for name, stride, _ in DRAWN])
def test_the_drawn_examples_are_what_the_functions_give(name: str, stride: str, drawing: str) -> None:
    function, drawn = getattr(sampling, name), drawing.split()
    if name == "windows":
        found = function(12, 4, int(stride))
    elif name == "spread_windows":
        found = function(12, 4, int(stride), 2)
    else:
        found = function(12, 4, int(stride), Drawn(0.7))[None]
    letters = sorted(set(drawn) - {"."})
    assert len(found) == len(letters)
    for window, letter in zip(found.tolist(), letters, strict=True):
        assert sorted(set(window)) == [frame for frame, mark in enumerate(drawn) if mark == letter]


def test_every_sampler_has_a_drawn_example() -> None:
    assert {name for name, *_ in DRAWN} == {f"{name}_clip" for name in SAMPLERS} | {"windows", "spread_windows"}


@pytest.mark.parametrize(
    ("sampler", "frame_count", "length", "stride", "u", "expected"),
    [
        ("dense", 20, 4, 1, 0.0, [0, 1, 2, 3]),
        ("dense", 20, 4, 1, 0.9999, [16, 17, 18, 19]),
        ("dense", 20, 4, 3, 0.0, [0, 3, 6, 9]),
        ("dense", 20, 4, 3, 0.9999, [10, 13, 16, 19]),
        ("dense", 4, 4, 1, 0.9999, [0, 1, 2, 3]),
        ("dense", 3, 8, 1, 0.5, [0, 1, 2, 0, 1, 2, 0, 1]),
        ("dense", 1, 3, 2, 0.7, [0, 0, 0]),
        ("centre", 20, 4, 1, 0.9, [8, 9, 10, 11]),
        ("centre", 21, 4, 2, 0.1, [7, 9, 11, 13]),
        ("centre", 3, 5, 1, 0.1, [0, 1, 2, 0, 1]),
        ("uniform", 20, 4, 1, 0.0, [0, 5, 10, 15]),
        ("uniform", 20, 4, 1, 0.9999, [4, 9, 14, 19]),
        ("uniform", 20, 4, 7, 0.5, [2, 7, 12, 17]),
        ("uniform", 2, 4, 1, 0.5, [0, 0, 1, 1]),
        ("uniform", 7, 1, 1, np.nextafter(1, 0), [6]),
    ],
)
def test_samplers_by_table(sampler: str, frame_count: int, length: int, stride: int, u: float, expected: list[int]) -> None:
    assert SAMPLERS[sampler](frame_count, length, stride, Drawn(u)).tolist() == expected


def test_clip_starts_are_uniform_with_the_last_one_included() -> None:
    rng = np.random.default_rng(0)
    starts = np.bincount([dense_clip(26, 16, 1, rng)[0] for _ in range(22_000)])
    assert len(starts) == 11
    expected = 22_000 / 11
    assert ((starts - expected) ** 2 / expected).sum() < 29.6  # chi-square, 10 degrees of freedom, p = 0.001


def test_the_stream_s_own_clip_starts_are_uniform_over_20000_draws() -> None:
    draws = [dense_clip(35, 16, 1, clip_rng(3, i // 100, i % 100, f"A/v_{i % 100}"))[0] for i in range(20_000)]
    starts = np.bincount(draws)
    assert len(starts) == 20
    assert ((starts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001


@pytest.mark.parametrize(
    ("frame_count", "length", "stride", "expected"),
    [
        (8, 4, 1, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (6, 4, 1, [[0, 1, 2, 3], [4, 5, 4, 5]]),
        (2, 4, 1, [[0, 1, 0, 1]]),
        (9, 4, 1, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 8, 8, 8]]),
        (8, 4, 2, [[0, 2, 4, 6]]),
        (11, 4, 2, [[0, 2, 4, 6], [8, 10, 8, 10]]),
    ],
)
def test_windows_by_table(frame_count: int, length: int, stride: int, expected: list[list[int]]) -> None:
    assert windows(frame_count, length, stride).tolist() == expected


@given(counts, lengths)
def test_windows_of_stride_one_cover_every_frame_in_order_and_once_but_for_the_loop(frame_count: int, length: int) -> None:
    index_WT = windows(frame_count, length, 1)
    assert index_WT.shape == (-(-frame_count // length), length)
    assert index_WT.ravel()[:frame_count].tolist() == list(range(frame_count))
    assert index_WT.max() == frame_count - 1


@pytest.mark.parametrize(
    ("frame_count", "stride", "count", "expected"),
    [
        (10, 1, 3, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]),
        (10, 2, 2, [[0, 2, 4, 6], [3, 5, 7, 9]]),
        (10, 1, 1, [[3, 4, 5, 6]]),
        (5, 1, 3, [[0, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3, 4]]),
        (3, 1, 2, [[0, 1, 2, 0], [0, 1, 2, 0]]),
    ],
)
def test_windows_spread_over_a_video_by_table(frame_count: int, stride: int, count: int, expected: list[list[int]]) -> None:
    assert spread_windows(frame_count, 4, stride, count).tolist() == expected


@pytest.mark.parametrize(
    ("views", "count"), [(Views(), 3), (Views(10, 3), 30), (Views(10, 3, flip=True), 60), (Views(0, 3, flip=True), 18)]
)
def test_views_count_windows_times_squares_times_mirrorings(views: Views, count: int) -> None:
    assert views.count(40, 16, 1) == count


@given(counts, lengths, strides, st.floats(0, 1, exclude_max=True))
def test_no_sample_leaves_the_video(frame_count: int, length: int, stride: int, u: float) -> None:
    samples = [sampler(frame_count, length, stride, Drawn(u)) for sampler in SAMPLERS.values()]
    for index in (*samples, windows(frame_count, length, stride), spread_windows(frame_count, length, stride, 5)):
        assert index.shape[-1] == length
        assert index.min() >= 0
        assert index.max() < frame_count


def test_a_video_without_frames_is_an_error() -> None:
    with pytest.raises(ValueError, match="frame_count 0"):
        windows(0, 16, 1)
