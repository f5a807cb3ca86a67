from __future__ import annotations

import threading

import pytest

from train.checkpoint_writer import CheckpointWriter


@pytest.fixture
def writer() -> CheckpointWriter:
    return CheckpointWriter()


def test_a_newer_file_takes_the_place_of_one_that_waits_and_order_is_kept(writer: CheckpointWriter) -> None:
    go, began, written = threading.Event(), threading.Event(), []

    def slow() -> None:
        began.set()
        go.wait(10)
        written.append("last 1")

    writer.start({"last": slow, "best": lambda: written.append("best 1")})
    began.wait(10)
    writer.start({"last": lambda: written.append("last 2")})
    writer.start({"last": lambda: written.append("last 3"), "best": lambda: written.append("best 3")})
    go.set()
    writer.close()
    assert written == ["last 1", "last 3", "best 3"]


def test_what_a_job_raises_comes_with_the_next_call_and_what_waits_is_dropped(writer: CheckpointWriter) -> None:
    written: list[str] = []

    def fail() -> None:
        raise OSError("no room")

    writer.start({"last": fail, "best": lambda: written.append("best")})
    with pytest.raises(OSError, match="no room"):
        writer.wait()
    writer.start({"last": lambda: written.append("last")})
    writer.wait()
    assert written == ["last"]
    writer.start({"last": fail})
    with pytest.raises(OSError, match="no room"):
        writer.close()


def test_everything_is_written_by_the_end(writer: CheckpointWriter) -> None:
    written: list[int] = []
    for number in range(200):
        writer.start({f"{number}": lambda number=number: written.append(number)})  # type: ignore[misc]
    writer.close()
    assert sorted(written) == list(range(200))
