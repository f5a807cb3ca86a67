"""Which processes train together, and which of those that a launch started are alive. Knows nothing of MindSpore."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

from preprocess.common.errors import InputError

CORES_PER_NPU = 5  # our target
QUEUED_BATCHES = 16  # MindData's prefetch_size: what a batch operation holds ready at most
RANK_CPUS = "RANK_CPUS"
"""The environment variable in which train/launch.py says how many CPUs are a rank's."""
MARK = "CLIPFEED_LAUNCH"  # in the environment of all that a launch starts: its process id and the time, in ns


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Which processes train together: `devices` on each of `hosts`."""

    devices: int
    hosts: int
    host_rank: int
    address: str
    port: int
    bind: bool
    """Whether each rank keeps to CPUs of its own."""

    @property
    def ranks(self) -> int:
        return self.devices * self.hosts


def read_cluster(environment: Mapping[str, str]) -> Cluster:
    """The cluster that the environment describes.

    Raises:
        InputError: a variable has a value that cannot be. The line names it.
    """
    devices = number(environment, "DEVICES", 1, least=1)
    hosts = number(environment, "HOSTS", 1, least=1)
    host_rank = number(environment, "HOST_RANK", 0, least=0)
    if hosts > 1:
        missing = [name for name in ("HOST_RANK", "MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
        if missing:
            raise InputError(f"HOSTS={hosts} needs {' and '.join(missing)} too: see train/README.md, many hosts")
    if host_rank >= hosts:
        raise InputError(f"HOST_RANK={host_rank} is not below HOSTS={hosts}: hosts are numbered from 0")
    port = number(environment, "MASTER_PORT", 0, least=1) or free_port()
    return Cluster(
        devices=devices,
        hosts=hosts,
        host_rank=host_rank,
        address=environment.get("MASTER_ADDR") or "127.0.0.1",
        port=port,
        bind=number(environment, "BIND", 0, least=0) > 0,
    )


def find_master(cluster: Cluster) -> tuple[socket.AddressFamily, str]:
    """MASTER_ADDR as a family and a number.

    Raises:
        InputError: it is unknown, or it is not the address of host 0 and of no other: msrun starts the process at which
            ranks meet on every host that has it, and one of two such would fail.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(cluster.address, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"MASTER_ADDR={cluster.address} is not known here ({error.strerror}): give host 0's") from None
    address = str(where[0])
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
            ours = True
        except OSError:
            ours = False
    if ours and cluster.host_rank:
        raise InputError(f"MASTER_ADDR={cluster.address} is this host, HOST_RANK={cluster.host_rank}: give host 0's")
    if not ours and not cluster.host_rank:
        raise InputError(f"MASTER_ADDR={cluster.address} is not this host, HOST_RANK=0: give an address that it has")
    return family, address


def number(environment: Mapping[str, str], name: str, default: int, least: int) -> int:
    """A variable as a whole number; `default` where it is unset or empty."""
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"{name}={text} is no whole number from {least}")
    return int(text)


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def marked() -> Iterator[tuple[psutil.Process, str]]:
    """The living processes that a launch started, each with the launch's mark."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # ended meanwhile, or somebody else's
            mark = process.environ().get(MARK)
            if mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process, mark


def left_behind() -> list[psutil.Process]:
    """Processes whose launch is no more: it was killed, and could not end them."""
    found = []
    for process, mark in marked():
        launcher, time_ns = map(int, mark.split("-"))
        try:
            alive = psutil.Process(launcher).create_time() <= time_ns / 1e9
        except psutil.NoSuchProcess:
            alive = False
        if not alive:
            found.append(process)
    return found
