"""How many processors are ours, and how many workers that makes."""

from __future__ import annotations

import os

from preprocess.common.errors import InputError


def available_cpus() -> int:
    """Processors that this process may run on: its affinity, which containers and batch systems set, not the machine's."""
    return len(os.sched_getaffinity(0))


def worker_count(workers: int) -> int:
    """How many workers the option `--workers` means: 0 is one for each processor. Raises InputError when it is below."""
    if workers < 0:
        raise InputError(f"--workers {workers} is not 0 or more")
    return workers or available_cpus()
