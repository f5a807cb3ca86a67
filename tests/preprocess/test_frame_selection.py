from __future__ import annotations

from fractions import Fraction
from itertools import islice

import pytest

from preprocess.frame_selection import Selection, selected_indices


@pytest.mark.parametrize(
    ("selection", "fps", "expected"),
    [
        (Selection(), Fraction(25), [0, 1, 2, 3, 4, 5]),
        (Selection(), Fraction(0), [0, 1, 2, 3, 4, 5]),
        (Selection(max_frames=3), Fraction(25), [0, 1, 2]),
        (Selection(fps=5), Fraction(25), [0, 5, 10, 15, 20, 25]),
        (Selection(fps=10), Fraction(25), [0, 2, 5, 7, 10, 12]),
        (Selection(fps=60), Fraction(25), [0, 1, 2, 3, 4, 5]),
        (Selection(fps=30), Fraction(30000, 1001), [0, 1, 2, 3, 4, 5]),
        (Selection(segment_s=(1.0, 1.2)), Fraction(25), [25, 26, 27, 28, 29, 30]),
        (Selection(segment_s=(0.0, 0.1)), Fraction(30000, 1001), [0, 1, 2]),
        (Selection(fps=12.5, segment_s=(1.0, 1.2)), Fraction(25), [25, 27, 29]),
        (Selection(fps=12.5, max_frames=2, segment_s=(1.0, 1.2)), Fraction(25), [25, 27]),
        (Selection(segment_s=(2.0, 1.0)), Fraction(25), []),
    ],
)
def test_wanted_by_table(selection: Selection, fps: Fraction, expected: list[int]) -> None:
    assert list(islice(selected_indices(selection, fps), 6)) == expected


@pytest.mark.parametrize("selection", [Selection(fps=5), Selection(segment_s=(0.0, 1.0))])
def test_a_video_without_a_rate_cannot_be_placed_in_time(selection: Selection) -> None:
    with pytest.raises(ValueError, match="does not state its frame rate"):
        next(selected_indices(selection, Fraction(0)))
