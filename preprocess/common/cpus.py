"""How many processors are ours."""

from __future__ import annotations

import os


def available_cpus() -> int:
    """Processors that this process may run on: its affinity, which containers and batch systems set, not the machine's."""
    return len(os.sched_getaffinity(0))
