"""Run one function over many items on several processes, results as they come."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

from preprocess.common.errors import InputError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
WAITING_PER_WORKER = 4  # enough to keep a worker busy, few enough that 650,000 videos need no memory here


def follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when the parent is gone, were it by kill -9."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def wait_for_its_end() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


def run(function: Callable[[ItemT], ResultT], items: Iterable[ItemT], workers: int) -> Iterator[ResultT]:
    """Yield `function(item)` for every item, in the order of completion, from `workers` processes.

    Workers are spawned, not forked: the libraries they use start threads. Raises InputError when a worker is killed.
    """
    remaining = iter(items)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=follow_parent) as pool:
        pending: set[Future[ResultT]] = set()
        try:
            while True:
                for item in islice(remaining, workers * WAITING_PER_WORKER - len(pending)):
                    pending.add(pool.submit(function, item))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise InputError(
                "a worker process was killed (out of memory?): nothing that was done is lost; run again, "
                "with fewer --workers if memory is short"
            ) from None
        finally:
            for future in pending:
                future.cancel()
