"""Whether threads or processes read and decode clips."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from train.config import Recipe

Loader = Literal["auto", "threads", "processes"]
MANY_WORKERS = 8
"""Threads of one process share an interpreter; with more than these, processes are chosen."""
SHARED_MEMORY = Path("/dev/shm")


def shared_bytes(recipe: Recipe, workers: int) -> int:
    """What the loader processes of one rank take of /dev/shm: a batch each, and two that are handed over."""
    clip = recipe.clip
    return (workers + 2) * recipe.batch_size * clip.frames * clip.size**2 * 3


def uses_processes(loader: Loader, recipe: Recipe, workers: int, ranks: int) -> bool:
    """Whether a rank's `workers` are processes. `auto` takes them where they are many and /dev/shm has the room for all
    ranks' here."""
    if loader != "auto":
        return loader == "processes"
    room = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    return workers > MANY_WORKERS and ranks * shared_bytes(recipe, workers) <= room
