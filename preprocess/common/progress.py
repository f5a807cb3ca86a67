"""Progress: a bar on a terminal, plain lines with a time elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY_S = 10.0


def say(line: str) -> None:
    """Print one line for people, above a progress bar if one is shown."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def progress(items: Iterable[T], unit: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how far it is: a bar when stderr is a terminal, otherwise a line every 10 seconds."""
    if total is None:
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, unit=f" {unit}", dynamic_ncols=True, leave=False)
        return
    began = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown >= LINE_EVERY_S:
            shown = now
            say(f"{done} of {total} {unit}, {done / (now - began):.1f} a second")
