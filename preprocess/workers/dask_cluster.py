"""The workers of a Dask cluster: many machines, or `local:N` processes of this one.

    --cluster local:4                  starts a scheduler and four workers on 127.0.0.1, and ends them
    --cluster tcp://10.0.0.1:8786      uses a scheduler that runs already, and leaves it and its workers running

On several machines: `dask scheduler` on one, `dask worker tcp://10.0.0.1:8786 --nthreads 1 --nworkers auto` on each; Slurm,
PBS and Kubernetes start the same through dask-jobqueue and dask-kubernetes. What these have to share:

* the data and the outputs, at the same paths on all machines (a shared file system);
* this project, at the same path on all machines, with its requirements installed for the Python that runs the workers (its
  folder is put on their import path, nothing is uploaded). The scheduler needs Dask alone.

One thread a worker is best: when a worker dies, what its other threads were running has to be run again.

Dask's scheduler blames a death on everything that was assigned to the worker, running or waiting. By the rule of
`preprocess.workers.executors` that costs the innocent a second run, never their result. Our own scheduler reports the
first death. A scheduler that runs already retries first, in both rounds, as often as it is set to: with Dask's usual
`distributed.scheduler.allowed-failures` of 3, an item is given up there after eight deaths.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import dask
from distributed import Client, Future, LocalCluster, Security, Worker, WorkerPlugin, as_completed, rpc
from distributed.scheduler import KilledWorker
from distributed.utils import silence_logging_cmgr

from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.workers.outcomes import Died, Outcome, TimedOut
from preprocess.workers.processes import end

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
ROOT = Path(__file__).resolve().parents[2]
CONNECT_SECONDS = 8
COUNT_WORKERS_EVERY_S = 5.0
LOST_AFTER_COUNTS = 3  # Dask may lose a worker, or an item, when a worker starts while the last is taken off its list
POLL_S = 0.01  # each thread has its next item, so none waits for this
ITEMS_PER_THREAD = 2  # one that runs, and the next
ITEMS_FOR_NO_WORKER = 16  # so that a cluster that starts its workers when there is work sees some
FILES_PER_WORKER = 16  # open here for a worker of our own
USUAL_OPEN_FILES = 64  # open here besides them
LIMIT_OF_A_HANG_S = 1.0  # how much later a process is ended that lets none of its threads run


@contextmanager
def connected(address: str, timeout_s: float) -> Iterator[DaskCluster]:
    """The cluster at `address`, or a new one of N workers for `local:N`, which ends with the context.

    Raises:
        InputError: `address` is neither, or nobody answers there.
    """
    local = re.fullmatch(r"local:([1-9]\d*)", address)
    if not local and not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://\S+:\d+", address):
        raise InputError(f"--cluster {address} is neither local:N nor a scheduler's address, such as tcp://10.0.0.1:8786")
    with (
        silence_logging_cmgr(logging.CRITICAL),  # it logs every death and every end; what matters becomes an outcome
        own_cluster(int(local[1])) if local else running_cluster(address) as client,
    ):
        yield DaskCluster(client, address, timeout_s)


@contextmanager
def own_cluster(workers: int) -> Iterator[Client]:
    """A scheduler and `workers` worker processes of one thread each, on 127.0.0.1, that end with the context."""
    allow_open_files(workers * FILES_PER_WORKER)
    with (
        dask.config.set(
            {"distributed.deploy.lost-worker-timeout": "10000 h"}
        ),  # else whom it takes long to start again is out
        tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True) as scratch,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # the scheduler serves HTTP in any case; else at 8787, for one run at a time
            memory_limit=0,  # else it ends a worker that it finds too large
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
            scheduler_kwargs={"allowed_failures": 0, "dashboard": False},
            plugins=(LeaveInterrupts(),),
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


class LeaveInterrupts(WorkerPlugin):
    """Makes a worker leave Ctrl-C, which the terminal sends to all processes, to the one that started it."""

    def setup(self, worker: Worker) -> None:
        """In a worker, at its start."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def running_cluster(address: str) -> Iterator[Client]:
    """A connection to a scheduler that is not ours.

    Raises:
        InputError: none answers.
    """
    try:
        asyncio.run(greet(address))
    except (OSError, ValueError, TypeError, OverflowError) as error:  # in time, Dask, a scheduler, certificates, a port
        why = f" ({error})" if str(error) else ""
        raise InputError(
            f"no Dask scheduler answers at {address} within {CONNECT_SECONDS} s{why}: start one there (dask scheduler), "
            "or name another with --cluster"
        ) from None
    with Client(address, set_as_default=False) as client:
        yield client


async def greet(address: str) -> None:
    """Raise what is wrong when no Dask scheduler answers at `address`.

    A client asks the same, but waits for ever where somebody listens and says nothing.
    """
    async with (
        asyncio.timeout(CONNECT_SECONDS),
        rpc(address, timeout=CONNECT_SECONDS, connection_args=Security().get_connection_args("client")) as server,
    ):
        kind = (await server.identity())["type"]
    if kind != "Scheduler":
        raise ValueError(f"a Dask {kind.lower()} does")


class DaskCluster:
    """The workers of a scheduler that we are connected to."""

    def __init__(self, client: Client, address: str, timeout_s: float) -> None:
        self.client = client
        self.address = address
        self.timeout_s = timeout_s
        self.threads = 0
        self.counted_at = -COUNT_WORKERS_EVERY_S
        self.empty_counts = 0
        self.idle_counts = 0

    def outcomes(
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], alone: bool = False
    ) -> Generator[Outcome[ResultT, ItemT], None, None]:
        """See `preprocess.workers.outcomes.Executor`."""
        remaining = iter(items)
        running: dict[Future[Any], ItemT] = {}
        begun_at = 0.0
        finished = self.none_yet()
        ready: list[Outcome[ResultT, ItemT]] = []
        while True:
            at_once = 1 if alone else self.items_at_once()
            for item in islice(remaining, max(0, at_once - len(running))):
                future = self.submit(function, item)
                running[future] = item
                finished.add(future)
                begun_at = time.monotonic()
            yield from ready  # only now, so that no worker waits while the caller does something with it
            if not running:
                return
            batch = self.next_batch(finished)
            if not batch:
                finished = self.none_yet()
                self.client.cancel(list(running), force=True)
                remaining = chain(running.values(), remaining)
                running = {}
            ready = [self.outcome(future, value, running.pop(future)) for future, value in batch]
            if alone and self.timeout_s and time.monotonic() - begun_at >= self.timeout_s:
                ready = [TimedOut(outcome.item) if isinstance(outcome, Died) else outcome for outcome in ready]

    def none_yet(self) -> Any:
        """What futures are added to, and come out of with their values when they have finished."""
        return as_completed(loop=self.client.loop, with_results=True, raise_errors=False)

    def next_batch(self, finished: Any) -> list[tuple[Future[Any], Any]]:
        """Wait for the next results, and count the workers meanwhile. None, when none will come: Dask has lost the items."""
        self.idle_counts = 0
        while not (batch := finished.next_batch(block=False)):
            time.sleep(POLL_S)
            self.items_at_once()
            if self.idle_counts >= LOST_AFTER_COUNTS:
                break
        return list(batch)

    def items_at_once(self) -> int:
        """How many items to have at the scheduler: few, but enough for the workers there are. They come and go."""
        now = time.monotonic()
        if now - self.counted_at >= COUNT_WORKERS_EVERY_S:
            self.counted_at = now
            with suppress(OSError):  # the scheduler is gone, as the futures will say
                self.threads = sum(self.client.nthreads().values())
            self.empty_counts = 0 if self.threads else self.empty_counts + 1
            if self.empty_counts == 2:  # one alone may be a worker that starts, or starts again
                say(f"the Dask scheduler at {self.address} has no workers: waiting for some (Ctrl-C to give up)")
            if self.client.cluster is not None:
                self.look_after(self.client.cluster)
        return self.threads * ITEMS_PER_THREAD or ITEMS_FOR_NO_WORKER

    def look_after(self, cluster: LocalCluster) -> None:
        """See whether our own workers run anything, and start them again when the scheduler has had none for long."""
        self.idle_counts = self.idle_counts + 1 if idle(cluster) else 0
        if self.empty_counts >= LOST_AFTER_COUNTS:
            self.empty_counts = 0
            for nanny in list(cluster.workers.values()):
                self.client.sync(nanny.restart)

    def submit(self, function: Callable[[ItemT], ResultT], item: ItemT) -> Future[Any]:
        """Have Dask run `function(item)`, under a name that its dashboard groups by function."""
        key = f"{getattr(function, '__name__', 'item')}-{uuid4().hex}"
        limited = partial(within, function, self.timeout_s) if self.timeout_s else function
        return self.client.submit(self_contained_call(), str(ROOT), pickle.dumps((limited, item)), key=key, pure=False)

    def outcome(self, future: Future[Any], value: Any, item: ItemT) -> Any:
        """What came of an item, from Dask's finished `future` and its `value`: the result, or the exception's triple."""
        if future.status == "cancelled":
            raise InputError(f"the Dask scheduler at {self.address} was lost: nothing that was done is lost; run again")
        if future.status != "error":
            return value
        _, error, trace = value
        if isinstance(error, KilledWorker):
            return Died(item)
        if isinstance(error, ModuleNotFoundError):
            raise InputError(
                f"a worker of {self.address} cannot import {error.name}: this project has to be at {ROOT} on all machines, "
                "with its requirements installed"
            ) from error
        raise error.with_traceback(trace)


def idle(cluster: LocalCluster) -> bool:
    """Whether our own cluster has workers, and all have said of late that they run nothing."""
    assert cluster.scheduler is not None  # it has begun
    workers = list(cluster.scheduler.workers.values())
    return bool(workers) and all(
        not worker.executing and time.time() - worker.last_seen < COUNT_WORKERS_EVERY_S for worker in workers
    )


def within(function: Callable[[ItemT], ResultT], timeout_s: float, item: ItemT) -> ResultT:
    """In a worker: run the item, and end the worker with the programs that it runs if that takes longer than `timeout_s`.

    A library that hangs may keep all threads of its process from running. Then the kernel's alarm ends the process.
    """
    timer = threading.Timer(timeout_s, end, [128 + signal.SIGALRM])
    timer.daemon = True
    timer.start()
    signal.setitimer(signal.ITIMER_REAL, timeout_s + LIMIT_OF_A_HANG_S)
    try:
        return function(item)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        timer.cancel()


def allow_open_files(count: int) -> None:
    """Raise this process's own limit so that `count` more files than usual can be open.

    Raises:
        InputError: the system's limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = USUAL_OPEN_FILES + count
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise InputError(f"this many workers need {wanted} open files, the limit is {hard}: take fewer, or raise ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def self_contained_call() -> Callable[[str, bytes], Any]:
    """A function that calls a pickled function, and needs nothing of this project to be sent.

    Functions that are defined inside others are sent by value. So the scheduler never imports us, and a worker not before
    the project is on its path, however late it joined.
    """

    def call(root: str, pickled: bytes) -> Any:
        import pickle
        import sys

        if root not in sys.path:
            sys.path.insert(0, root)
        function, item = pickle.loads(pickled)
        return function(item)

    return call
