"""The process that worker processes are forked from. It stands alone so that a command can start it before all else."""

from __future__ import annotations

import os
from multiprocessing import forkserver, get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = get_context("forkserver")  # forks of this process would have its threads' locks, and not its threads


def preload(*modules: str) -> None:
    """Start that process, and have it import `modules` while this one does something else; workers then have them.

    The modules must not start threads when they are imported. Without this it starts with the first worker, empty.
    """
    CONTEXT.set_forkserver_preload(list(modules))
    before = dict(os.environ)
    # the project is what it imports from, never the folder that the user happens to be in
    os.environ.update(PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1")
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
