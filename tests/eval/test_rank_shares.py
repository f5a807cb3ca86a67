from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.rank_shares import Rank, ScoreExchange, rank_of_environment, windows_of_rank
from preprocess.common.errors import InputError


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        (Rank(0, 1), [(0, 0, 5), (1, 0, 2), (2, 0, 4)]),
        (Rank(0, 2), [(0, 0, 4)]),
        (Rank(1, 2), [(0, 4, 5), (1, 0, 2), (2, 0, 4)]),
        (Rank(1, 3), [(0, 4, 5), (1, 0, 2), (2, 0, 1)]),
        (Rank(0, 4), []),
    ],
)
def test_a_rank_s_share_by_table(rank: Rank, expected: list[tuple[int, int, int]]) -> None:
    assert windows_of_rank([5, 2, 4], 4, rank) == expected


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 6))
def test_ranks_together_score_every_window_once_in_order_in_whole_batches(
    counts: list[int], batch_size: int, ranks: int
) -> None:
    shares = [windows_of_rank(counts, batch_size, Rank(rank, ranks)) for rank in range(ranks)]
    seen = [(video, window) for one in shares for video, first, end in one for window in range(first, end)]
    assert seen == [(video, window) for video, count in enumerate(counts) for window in range(count)]
    sizes = [sum(end - first for _, first, end in one) for one in shares]
    assert all(size % batch_size == 0 for size in sizes[:-1])
    assert max(sizes) - min(sizes) <= 2 * batch_size


def test_the_first_rank_waits_for_the_others_passes_over_old_files_and_leaves_nothing(tmp_path: Path) -> None:
    scores = [np.full((rank + 1, 2), rank, np.float32) for rank in range(3)]
    ScoreExchange(tmp_path / "report", "key", Rank(1, 3)).publish(1, scores[1] + 9)  # of a run that was killed
    folders = [ScoreExchange(tmp_path / "report", "key", Rank(rank, 3)) for rank in range(3)]

    def late() -> None:
        time.sleep(0.3)
        for rank in (2, 1):
            folders[rank].publish(rank, scores[rank])

    thread = threading.Thread(target=late)
    thread.start()
    found = folders[0].gather()
    thread.join()
    assert [part.tolist() for part in found] == [scores[1].tolist(), scores[2].tolist()]
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rank_of_environment() == Rank(0, 1)
    monkeypatch.setenv("RANK_ID", "2")
    monkeypatch.setenv("RANK_SIZE", "2")
    with pytest.raises(InputError, match="RANK_ID=2 is not one of RANK_SIZE=2"):
        rank_of_environment()
    monkeypatch.setenv("RANK_ID", "two")
    with pytest.raises(InputError, match="RANK_ID=two is no whole number"):
        rank_of_environment()
