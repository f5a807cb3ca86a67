"""Worker processes of this machine: Pebble's pool, started from our fork server."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool
from pebble.common.types import CONSTS

from preprocess.common.errors import InputError
from preprocess.workers.outcomes import Died, Outcome, TimedOut

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
CHECK_POOL_S = 1.0
DEATH_SEEN_AFTER_S = 0.25
END_S = 10.0
LOCK_S = 3.0  # workers take an item in microseconds; one that is killed then leaves the lock to nobody
MOST_FAILED_STARTS = 5
UNEXPECTED_EXIT = 255


class Processes:
    """As many worker processes as asked for, each with one item at a time, and a time limit for an item.

    `timeout_s` 0 sets no limit. A process that is over it gets SIGTERM, and SIGKILL if it does not end within 3 s.
    """

    def __init__(self, workers: int, timeout_s: float = 0.0) -> None:
        self.workers = workers
        self.timeout_s = timeout_s

    def outcomes(
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], alone: bool = False
    ) -> Generator[Outcome[ResultT, ItemT], None, None]:
        """See `preprocess.workers.outcomes.Executor`."""
        remaining = iter(items)
        ready: list[Outcome[ResultT, ItemT]] = []
        with closing(Team(function, 1 if alone else self.workers, self.timeout_s)) as team:
            while True:
                for item in islice(remaining, team.size - len(team.running)):
                    team.begin(item)
                yield from ready  # only now, so that no worker waits while the caller does something with it
                if not team.running:
                    return
                ready = team.completed()


class Team(Generic[ItemT, ResultT]):
    """A Pebble pool, and the items that its workers have. Pebble gives up a pool whose worker dies while no worker has an
    item; then another pool gets the items that were not done."""

    def __init__(self, function: Callable[[ItemT], ResultT], size: int, timeout_s: float) -> None:
        self.function = function
        self.size = size
        self.timeout_s = timeout_s or None
        self.pool: ProcessPool | None = None
        self.running: dict[Future[ResultT], ItemT] = {}
        self.done: SimpleQueue[Future[ResultT]] = SimpleQueue()
        self.failed_starts = 0

    def begin(self, item: ItemT) -> None:
        """Give the item to the pool, which is started for the first one."""
        if self.pool is None or not self.pool.active:
            self.restart()
        assert self.pool is not None
        future = self.pool.schedule(self.function, (item,), timeout=self.timeout_s)
        self.running[future] = item
        future.add_done_callback(self.done.put)

    def completed(self) -> list[Outcome[ResultT, ItemT]]:
        """Wait until an item is done or its worker is dead. Returns its outcome, nothing if it had not begun."""
        try:
            future = self.done.get(timeout=CHECK_POOL_S)
        except Empty:
            if self.pool is not None and not self.pool.active:
                self.restart()
            return []
        if future not in self.running:  # of a pool that was given up
            return []
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self.restart()
            return []
        item = self.running.pop(future)
        self.failed_starts = 0
        if isinstance(error, ProcessExpired):
            return [Died(item)]
        if isinstance(error, TimeoutError) and error.args[:1] == ("Task timeout",):  # Pebble's, not the function's own
            return [TimedOut(item)]
        return [future.result()]

    def restart(self) -> None:
        """Start a pool, and give it the items that the last one left.

        Raises:
            InputError: no worker gets as far as its first item any more.
        """
        if self.pool is not None:
            self.close()
            self.failed_starts += 1
            if self.failed_starts > MOST_FAILED_STARTS:
                raise InputError(
                    "the worker processes end before they begin (out of memory? or see what they print above); nothing "
                    "that was done is lost: run again with fewer --workers"
                )
        left = [future for future in self.running if not future.done() or isinstance(future.exception(), BrokenProcessPool)]
        items = [self.running.pop(future) for future in left]
        pickled = pickle.dumps(self.function)
        self.context = Context()
        self.pool = ProcessPool(self.size, initializer=set_up, initargs=(pickled,), context=self.context)
        for item in items:
            self.begin(item)

    def close(self) -> None:
        """End the workers, once they are done with their items, or after `END_S`."""
        if self.pool is not None:
            wait(self.running, END_S)
            self.pool.stop()
            self.context.close()  # before Pebble closes what a process that is still starting will look for
            self.pool.join()


class WorkerProcess(ForkServerProcess):
    """A worker process as Pebble has to see it.

    Pebble takes exit code 0 for an end that it ordered itself, and a death that it notices before the worker's last message
    for a death between two items. Both would lose the item without a word. So a process that ends by itself never has exit
    code 0, and counts as alive for a moment longer, until its messages are read.
    """

    started_by: Context
    died_at = 0.0
    joined = False

    def start(self) -> None:
        with self.started_by.lock:
            if self.started_by.closed:
                raise OSError("the workers are being ended")
            super().start()
            self.started_by.processes.append(self)

    def __getstate__(self) -> dict[str, Any]:  # what the process itself gets
        return self.__dict__ | {"started_by": None}

    def is_alive(self) -> bool:
        if super().is_alive():
            return True
        self.died_at = self.died_at or time.monotonic()
        return not self.joined and time.monotonic() - self.died_at < DEATH_SEEN_AFTER_S

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        self.joined = True

    @property
    def exitcode(self) -> int | None:
        return UNEXPECTED_EXIT if super().exitcode == 0 else super().exitcode


class Context(ForkServerContext):
    """Makes such processes from `preprocess.workers.forkserver`'s server, and ends them."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.closed = False
        self.processes: list[WorkerProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> WorkerProcess:  # type: ignore[override]  # noqa: N802
        """A new one, not started."""
        process = WorkerProcess(*args, **kwargs)
        process.started_by = self
        return process

    def close(self) -> None:
        """Tell all processes to end, and start no more."""
        with self.lock:
            self.closed = True
            for process in self.processes:
                process.terminate()


def set_up(pickled_function: bytes) -> None:
    """In a new worker: import the function, leave Ctrl-C to the parent, and end with it, even by kill -9."""
    CONSTS.channel_lock_timeout = LOCK_S
    signal.signal(signal.SIGTERM, lambda *_: end(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def wait_for_its_end() -> None:
        if parent is not None:
            parent.join()
            end(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()
    pickle.loads(pickled_function)


def end(code: int) -> None:
    """End this worker at once, and the programs that it runs."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    os._exit(code)
