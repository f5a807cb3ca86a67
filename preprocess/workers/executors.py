"""Run one function over many items, results as they come: on processes of this machine, or on a Dask cluster.

Workers die: memory runs out, a library crashes on a broken file, a machine goes away. One rule says what happens then,
wherever the workers are:

1. An item whose worker died is put aside, and the others go on.
2. When they are all done, the items put aside are run again, one at a time, with no other item of ours beside them.
3. An item whose worker dies then as well is given up: it was alone, so this was its own doing, or it needs more memory than
   there is.

So nothing is lost to a worker that is killed, and an item is given up after its worker died twice, the second time with that
item alone. (On processes both deaths were at that item. Dask puts aside what only waited at a worker that died, too.)
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from multiprocessing import parent_process
from queue import SimpleQueue
from typing import Generic, NoReturn, Protocol, TypeVar

from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.workers import forkserver

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
DIED_TWICE = "its worker process died twice, the second time with nothing else running (out of memory, or a library crashed)"
FILES_PER_WORKER = 8  # open here for a pool of one process: its pipes
USUAL_OPEN_FILES = 64  # open here beside them


@dataclass(frozen=True)
class Died(Generic[ItemT]):
    """What comes of an item, instead of a result, when its worker process died."""

    item: ItemT


class Executor(Protocol):
    """Something that has workers."""

    def outcomes(
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], alone: bool = False
    ) -> Generator[ResultT | Died[ItemT], None, None]:
        """Yield the result of every item, or `Died`, in the order of completion; `alone`: one item at a time.

        Takes items only as workers become free. Raises what the function raises.
        """


def run(
    function: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    workers: int,
    cluster: str = "",
    crashed: Callable[[ItemT, str], ResultT] | None = None,
) -> Iterator[ResultT]:
    """Yield `function(item)` for every item, in the order of completion.

    It runs on `workers` processes here, 0 being one for each processor, or, with `cluster`, on Dask, whose workers `workers`
    then does not count: `local:N` starts N of them on this machine, `tcp://host:port` is a scheduler that runs already (see
    `preprocess.workers.dask_cluster`). Items are taken as they are needed, never all at once.

    `crashed(item, reason)` makes the result of an item that was given up, by the rule above. Without it such an item raises
    InputError, once all others are done. Raises InputError also when workers cannot start or the cluster cannot be used, and
    whatever the function raises.
    """
    give_up = crashed or refuse
    aside: list[ItemT] = []
    lost: list[ItemT] = []
    with executor_for(workers, cluster) as executor:
        with closing(executor.outcomes(function, items)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Died):
                    aside.append(outcome.item)
                else:
                    yield outcome
        with closing(executor.outcomes(function, aside, alone=True)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Died):
                    lost.append(outcome.item)
                else:
                    yield outcome
    for item in lost:
        yield give_up(item, DIED_TWICE)


def refuse(item: object, reason: str) -> NoReturn:
    """What becomes of an item that was given up when the caller has no result for it."""
    raise InputError(
        f"one item could not be done: {reason}; nothing that was done is lost: run again, "
        "with fewer --workers if memory is short"
    )


@contextmanager
def executor_for(workers: int, cluster: str) -> Iterator[Executor]:
    """The executor that the user chose. Raises InputError when it cannot be had."""
    if not cluster:
        yield Processes(worker_count(workers))
        return
    if find_spec("distributed") is None:
        raise InputError("--cluster needs Dask: pip install -r requirements-cluster.lock")
    from preprocess.workers.dask_cluster import connected

    with connected(cluster) as executor:
        yield executor


@dataclass(frozen=True)
class Processes:
    """So many processes of this machine, forks of `preprocess.workers.forkserver`."""

    workers: int

    def outcomes(
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], alone: bool = False
    ) -> Generator[ResultT | Died[ItemT], None, None]:
        """See `Executor`."""
        remaining = iter(items)
        ready: list[ResultT | Died[ItemT]] = []
        with closing(Team(function, 1 if alone else self.workers)) as team:
            while True:
                for item in islice(remaining, team.free):
                    team.begin(item)
                yield from ready  # only now, so that no worker waits while the caller does something with it
                if not team.busy:
                    return
                ready = team.completed()


@dataclass(frozen=True)
class Worker:
    """A pool of one process. `started` is done once the process has imported the function it is to run."""

    pool: ProcessPoolExecutor
    started: Future[None]

    @property
    def failed_to_start(self) -> bool:
        """Of a worker that died: whether it had not yet begun with any item."""
        return self.started.exception() is not None


class Team(Generic[ItemT, ResultT]):
    """Worker processes with one item each.

    Each is a pool of its own. A pool of several processes breaks whole when one dies, and does not say which of its items
    that one had; here a death costs one item, and it is known which.
    """

    def __init__(self, function: Callable[[ItemT], ResultT], size: int) -> None:
        allow_open_files(size * FILES_PER_WORKER)
        self.function = function
        self.size = size
        self.workers: set[ProcessPoolExecutor] = set()
        self.idle: list[Worker] = []
        self.busy: dict[Future[ResultT], tuple[Worker, ItemT]] = {}
        self.done: SimpleQueue[Future[ResultT]] = SimpleQueue()
        self.failed_starts = 0

    @property
    def free(self) -> int:
        """How many items may be begun."""
        return self.size - len(self.busy)

    def begin(self, item: ItemT) -> None:
        """Give the item to a worker that has nothing to do, or to a new one."""
        future = None
        while future is None:
            worker = self.idle.pop() if self.idle else self.new_worker()
            try:
                future = worker.pool.submit(self.function, item)
            except BrokenProcessPool:  # it was killed while it had nothing to do
                self.bury(worker)
        self.busy[future] = worker, item
        future.add_done_callback(self.done.put)

    def completed(self) -> list[ResultT | Died[ItemT]]:
        """Wait until a worker is done or dead; returns what came of its item, nothing if it had not begun."""
        future = self.done.get()
        worker, item = self.busy.pop(future)
        try:
            result = future.result()
        except BrokenProcessPool:
            self.bury(worker)
            if not worker.failed_to_start:
                return [Died(item)]
            self.begin(item)
            return []
        self.failed_starts = 0
        self.idle.append(worker)
        return [result]

    def new_worker(self) -> Worker:
        """Start a process."""
        pool = ProcessPoolExecutor(1, mp_context=forkserver.CONTEXT, initializer=follow_parent)
        self.workers.add(pool)
        return Worker(pool, pool.submit(started, self.function))

    def bury(self, worker: Worker) -> None:
        """Let go of a worker that died. Raises InputError when none gets as far as its first item any more."""
        self.workers.remove(worker.pool)
        worker.pool.shutdown()
        self.failed_starts += worker.failed_to_start
        if self.failed_starts > self.size:
            raise InputError(
                "the worker processes end before they begin (out of memory? or see what they print above); nothing that "
                "was done is lost: run again with fewer --workers"
            )

    def close(self) -> None:
        """End the workers, waiting for what they are in the middle of."""
        if self.workers:
            with ThreadPoolExecutor(len(self.workers)) as threads:  # at once: one after the other, 200 would take seconds
                list(threads.map(ProcessPoolExecutor.shutdown, self.workers))


def started(function: Callable[[ItemT], ResultT]) -> None:
    """In a worker: what it runs first. To be called at all, it must have been able to import the function."""


def follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when the parent is gone, were it by kill -9."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def wait_for_its_end() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


def allow_open_files(count: int) -> None:
    """Raise this process's own limit so that `count` more files than usual can be open.

    Raises InputError where the system's limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = USUAL_OPEN_FILES + count
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise InputError(
            f"this many --workers need {wanted} open files, the limit is {hard}: take fewer, or raise ulimit -Hn"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
