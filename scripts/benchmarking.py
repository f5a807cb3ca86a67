"""What the benchmarks measure with, a fresh process, rates, CPU time and bytes read, and how they report what they found."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preprocess.common import files
from train.run_folder import surroundings

if TYPE_CHECKING:  # some benchmarks do without MindSpore
    import mindspore.dataset as ds

Figures = dict[str, float]


def report(kind: str, figures: dict[str, Any], path: Path | None, *packages: str) -> None:
    """Print the figures of a benchmark of this kind, without those in lists, and write them to `path`, if there is one, with
    what they were measured on; `packages` are compared with, and their versions matter too. See scripts/readme_tables.py.
    """
    found = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    for name, value in found.items():
        if not isinstance(value, list):
            print(f"{name:40} {value}")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        measured = {"date": time.strftime("%Y-%m-%d"), **surroundings(*packages)}
        files.write_json(path, {"kind": kind, **found, "measured": measured})


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def timed(batches: ds.Dataset, epochs: int) -> Figures:
    """Clips a second, CPU-milliseconds and bytes read a clip, over `epochs` of a data set after a first one."""
    iterator = batches.create_tuple_iterator(num_epochs=epochs + 1, output_numpy=True, do_copy=False)
    return timed_stream((batch for _ in range(epochs + 1) for batch in iterator), batches.get_dataset_size())


def timed_stream(batches: Iterable[Sequence[Any]], first: int) -> Figures:
    """Clips a second, CPU-milliseconds and bytes read a clip, of all batches after the `first` ones."""
    rest = iter(batches)
    for _ in range(first):
        next(rest)
    cpu_s, read, began = cpu_seconds(), bytes_read(), time.perf_counter()
    clips = sum(len(batch[0]) for batch in rest)
    seconds = time.perf_counter() - began
    return {
        "clips_per_s": clips / seconds,
        "cpu_ms": (cpu_seconds() - cpu_s) / clips * 1e3,
        "bytes_read": (bytes_read() - read) / clips,
    }


def cpu_seconds() -> float:
    """CPU time of this process, its threads and its living children."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in family()]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


def bytes_read() -> int:
    """Bytes that this process and its living children have read, from disk or cache."""
    return sum(int(Path(f"/proc/{pid}/io").read_text().split()[1]) for pid in family())


def family() -> list[str]:
    """The process ids of this process and its children."""
    found = [str(os.getpid())]
    for task in Path("/proc/self/task").iterdir():
        try:
            found += (task / "children").read_text().split()
        except FileNotFoundError:  # the thread has just ended
            continue
    return found
