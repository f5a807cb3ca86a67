"""Run one function over many items, results as they come: on processes of this machine, or on a Dask cluster.

Workers die: memory runs out, a library crashes on a broken file, a machine goes away. One rule says what happens then,
wherever the workers are:

1. An item whose worker died is set apart, and the others continue.
2. When they are all done, the items set apart are run again, one at a time, with no other item of ours running.
3. An item whose worker dies then as well is given up: it was alone, so this was its own doing, or it needs more memory than
   there is.
4. With a time limit, the worker of an item that is over it is ended, and the item is given up without a second run.

So nothing is lost to a worker that is killed, and an item is given up after its worker died twice, the second time with that
item alone. (On processes both deaths were at that item. Dask also sets apart what only waited at a worker that died, and
there an item over its limit is one whose worker dies: it is given up in the second round.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import NoReturn, TypeVar

from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.workers.outcomes import Died, Executor, TimedOut
from preprocess.workers.processes import Processes

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
DIED_TWICE = "its worker process died twice, the second time with nothing else running (out of memory, or a library crashed)"
TIMED_OUT = "it was not done after {:g} s, the limit that --video-timeout sets"


def run(
    function: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    workers: int,
    cluster: str = "",
    crashed: Callable[[ItemT, str], ResultT] | None = None,
    timeout_s: float = 0.0,
) -> Iterator[ResultT]:
    """Yield `function(item)` for every item, in the order of completion. Items are taken as they are needed.

    Args:
        workers: processes of this machine; 0 is one for each CPU. Ignored with `cluster`.
        cluster: `local:N` starts N Dask workers on this machine, `tcp://host:port` is a scheduler that runs already; see
            `preprocess.workers.dask_cluster`.
        crashed: `crashed(item, reason)` makes the result of an item that was given up, by the rule above.
        timeout_s: time limit for an item; 0 for none.

    Raises:
        InputError: workers cannot start, the cluster cannot be used, or an item was given up and there is no `crashed`; all
            other items are done by then.
        Exception: whatever the function raises.
    """
    died: list[ItemT] = []
    lost: list[tuple[ItemT, str]] = []
    with executor_for(workers, cluster, timeout_s) as executor:
        for alone in (False, True):
            begun, died = died if alone else items, []
            with closing(executor.outcomes(function, begun, alone)) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome, Died):
                        died.append(outcome.item)
                    elif not isinstance(outcome, TimedOut):
                        yield outcome
                    elif crashed:
                        yield crashed(outcome.item, TIMED_OUT.format(timeout_s))
                    else:
                        lost.append((outcome.item, TIMED_OUT.format(timeout_s)))
    for item, reason in [*lost, *((item, DIED_TWICE) for item in died)]:
        yield (crashed or refuse)(item, reason)


def refuse(item: object, reason: str) -> NoReturn:
    """What becomes of an item that was given up when the caller has no result for it."""
    raise InputError(
        f"one item could not be done: {reason}; nothing that was done is lost: run again, "
        "with fewer --workers if memory is short"
    )


@contextmanager
def executor_for(workers: int, cluster: str, timeout_s: float) -> Iterator[Executor]:
    """The executor that the user chose.

    Raises:
        InputError: it cannot be had.
    """
    if not cluster:
        yield Processes(worker_count(workers), timeout_s)
        return
    if find_spec("distributed") is None:
        raise InputError("--cluster needs Dask: pip install -r requirements-cluster.lock")
    from preprocess.workers.dask_cluster import connected

    with connected(cluster, timeout_s) as executor:
        yield executor
