from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from eval.rank_shares import Rank, ScoreExchange, rank_of_environment
from preprocess.common.errors import InputError


def test_the_first_rank_waits_for_the_others_passes_over_old_files_and_leaves_nothing(tmp_path: Path) -> None:
    scores = [np.full((rank + 1, 2), rank, np.float64) for rank in range(3)]
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
