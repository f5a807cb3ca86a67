"""Checkpoints written by a thread while training continues."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

Job = Callable[[], None]
MOST_WAITING = 4
"""Files that may wait to be written: each holds a copy of the parameters."""


class CheckpointWriter:
    """Runs jobs in a thread, each of which writes a file of what was copied before.

    A job that still waits gives way to a newer one for the same file, so that training need not wait for a slow disk. Jobs
    that are started together keep their order. What a job raises is raised by the next call of any method; the jobs that
    wait by then are dropped.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.lock = threading.Lock()
        self.waiting: dict[str, Job] = {}
        self.running: Future[None] | None = None

    def start(self, jobs: Mapping[str, Job]) -> None:
        """Have these written, by file name."""
        self.check()
        if len(self.waiting) > MOST_WAITING:
            self.wait()
        with self.lock:
            self.waiting = {**jobs, **{name: job for name, job in self.waiting.items() if name not in jobs}}
            if self.running is None or self.running.done():
                self.running = self.pool.submit(self.run)

    def run(self) -> None:
        """Write until nothing waits."""
        while True:
            with self.lock:
                if not self.waiting:
                    return
                job = self.waiting.pop(next(iter(self.waiting)))
            job()

    def check(self) -> None:
        """Raise what a job has raised. Does not wait."""
        if self.running and self.running.done():
            self.wait()

    def wait(self) -> None:
        """Wait until all is written."""
        while self.running:
            running, self.running = self.running, None
            try:
                running.result()
            except BaseException:
                self.waiting.clear()
                raise
            with self.lock:  # one that came as the last ended
                if self.waiting:
                    self.running = self.pool.submit(self.run)

    def close(self) -> None:
        """Wait until all is written, and end the thread."""
        try:
            self.wait()
        finally:
            self.pool.shutdown()
