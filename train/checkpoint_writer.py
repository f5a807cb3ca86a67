"""Checkpoints written by a thread while training continues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

Job = Callable[[], None]


class CheckpointWriter:
    """Runs jobs, which write what was copied before, in a thread: those of one call after each other, and at most one call's
    at a time.

    An error of a job is raised by the next call of any method; jobs behind it in its call are left out.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.pending: Future[None] | None = None

    def start(self, jobs: Sequence[Job]) -> None:
        """Wait for the jobs under way, and begin these."""
        self.wait()
        self.pending = self.pool.submit(run, jobs)

    def check(self) -> None:
        """Raise what a job has raised. Does not wait."""
        if self.pending and self.pending.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the jobs under way."""
        pending, self.pending = self.pending, None
        if pending:
            pending.result()

    def close(self) -> None:
        """Wait for the jobs under way, and end the thread."""
        try:
            self.wait()
        finally:
            self.pool.shutdown()


def run(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job()
