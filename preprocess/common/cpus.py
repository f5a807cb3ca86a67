"""How many CPUs are ours, and how many workers that makes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from preprocess.common.errors import InputError

CGROUP = Path("/proc/self/cgroup")
MOUNTS = Path("/proc/self/mountinfo")


@cache
def available_cpus() -> int:
    """CPUs that this process may use: its affinity (taskset, Slurm), or the CPU quota of its cgroup if that is less (--cpus
    of Docker, limits of Kubernetes). A quota of part of a CPU counts as a whole one."""
    affinity = len(os.sched_getaffinity(0))
    return min([affinity, *map(math.ceil, quotas(CGROUP, MOUNTS))])


def quotas(cgroup: Path, mounts: Path) -> Iterator[float]:
    """The CPU quotas, in CPUs, of this process's cgroup and of those above it, as far as they are mounted here.

    Version 2 has them in `cpu.max`, version 1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`: the kernel's
    Documentation/admin-guide/cgroup-v2.rst and Documentation/scheduler/sched-bwc.rst.

    Args:
        cgroup: lines `id:controllers:path`, as /proc/self/cgroup.
        mounts: the mounted file systems, as /proc/self/mountinfo.
    """
    for folder in cgroup_folders(cgroup, mounts):
        words = read_words(folder / "cpu.max")
        words = words or [*read_words(folder / "cpu.cfs_quota_us"), *read_words(folder / "cpu.cfs_period_us")]
        if len(words) == 2 and all(word.isdecimal() and int(word) > 0 for word in words):  # not "max", and not -1
            yield int(words[0]) / int(words[1])


def cgroup_folders(cgroup: Path, mounts: Path) -> Iterator[Path]:
    """The folders of this process's cgroup in each mounted hierarchy that may limit CPUs, and of the cgroups above it."""
    paths = {}  # of this process in a hierarchy, by controller; version 2 has one hierarchy without a name
    for line in read_lines(cgroup):
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    for line in read_lines(mounts):  # "36 35 98:0 /root /mount options ... - type source options", man 5 proc
        fields, _, file_system = line.partition(" - ")
        root, mount = fields.split()[3:5]
        kind, _, options = file_system.split(maxsplit=2)
        controller = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
        if controller is None or controller not in paths or (controller and controller not in options.split(",")):
            continue
        path, base = paths[controller], Path(mount)
        below = os.path.relpath(path, root) if path.startswith(root.rstrip("/") + "/") or path == root else "."
        folder = base / below  # in a container the path is often that of the host: then the mount itself is ours
        yield from (found for found in (folder, *folder.parents) if found == base or base in found.parents)


def read_lines(path: Path) -> list[str]:
    """A file's lines, none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def read_words(path: Path) -> list[str]:
    """The words of a file's first line, none where it cannot be read."""
    return next((line.split() for line in read_lines(path)), [])


def worker_count(workers: int) -> int:
    """How many workers the option `--workers` means: 0 is one for each CPU.

    Raises:
        InputError: it is below 0.
    """
    if workers < 0:
        raise InputError(f"--workers {workers} is not 0 or more")
    return workers or available_cpus()
