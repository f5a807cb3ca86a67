"""What comes of an item, and what every executor offers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Died(Generic[ItemT]):
    """An item whose worker process died."""

    item: ItemT


@dataclass(frozen=True)
class TimedOut(Generic[ItemT]):
    """An item that was not done within its time limit; its worker process was ended."""

    item: ItemT


Outcome: TypeAlias = ResultT | Died[ItemT] | TimedOut[ItemT]


class Executor(Protocol):
    """Something that has workers."""

    def outcomes(
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], alone: bool = False
    ) -> Generator[Outcome[ResultT, ItemT], None, None]:
        """Yield the outcome of every item, in the order of completion; `alone`: one item at a time.

        Takes items only as workers become free.

        Raises:
            InputError: workers cannot start, or the cluster is lost.
            Exception: whatever the function raises.
        """
