"""Progress: a bar on a terminal, plain lines with a time elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY_S = 10.0


def say(line: str) -> None:
    """Print one line for people, above a progress bar if one is shown."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


class Meter:
    """Shows how far something is: a bar when stderr is a terminal, otherwise a line every 10 seconds."""

    def __init__(self, total: int, unit: str) -> None:
        self.total = total
        self.unit = unit
        self.done = 0
        self.began = self.shown = time.monotonic()
        # leave=False: the bar gives way to the line that says what came of it
        self.bar = tqdm(total=total, unit=f" {unit}", dynamic_ncols=True, leave=False, disable=not sys.stderr.isatty())

    def advance(self, note: str = "", count: int = 1) -> None:
        """`count` more are done; `note` says something of the last one."""
        self.done += count
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.shown >= LINE_EVERY_S and self.done < self.total:
            self.shown = now
            rate = self.done / (now - self.began)
            say(f"{self.done} of {self.total} {self.unit}, {rate:.1f} a second{', ' if note else ''}{note}")

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()


def progress(items: Iterable[T], unit: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how far it is. `total` is needed where `items` has no length."""
    meter = Meter(len(items) if isinstance(items, Sized) else total or 0, unit)
    try:
        for item in items:
            yield item
            meter.advance()
    finally:
        meter.close()
