"""What an Ascend host needs around MindSpore: NPUs, CANN and what CANN needs. Looks, and computes nothing."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from train.cluster import Cluster
from train.findings import ERROR, OK, WARNING, Finding

LIBRARIES = ("libascendcl.so", "libhccl.so")
PACKAGES = ("te", "tbe", "hccl", "acl")
"""CANN's own Python packages, which operators are compiled by and ranks talk through."""
BUILT_WITH = "9.1"
"""CANN's version that MindSpore 2.10's wheel was built with (version.info of its custom operators)."""
ACCEPTED = ("8.5", "9.0")
"""Older ones that it takes without all of its own operators."""
SET_ENV = "install CANN 9.1, Toolkit and ops, and source its set_env.sh (train/README.md, on Ascend)"
PYTHON_PACKAGES = "sh scripts/setup.sh requirements.lock requirements-ascend.lock"
RESERVE_PORTS = "sysctl -w net.ipv4.ip_local_reserved_ports=60000-60031"
HCCL_PORTS = range(60000, 60032)
OWN_KERNELS = re.compile(r"Ascend910(B[1-4]|_93)")
"""Chips that MindSpore 2.10 has kernels of its own for: Atlas A2 and A3."""
IMPORT_S = 120.0
IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        print(name, f"{type(error).__name__}: {error}".splitlines()[0], sep="\\t")
"""
SOC_NAME = "import acl; acl.init(); print(acl.get_soc_name())"


def examine(npus: Sequence[Path], cluster: Cluster) -> Iterator[Finding]:
    """All findings, in the order of the output."""
    yield enough(npus, cluster)
    if npus:
        yield permitted(npus)
    yield from map(shared_library, LIBRARIES)
    yield version(os.environ.get("ASCEND_HOME_PATH", ""))
    broken = python_packages(PACKAGES)
    yield broken or Finding(state=OK, what="CANN", text=f"Python packages {', '.join(PACKAGES)}")
    if not broken:
        yield chip()
    yield compiler()
    yield hccl_ports()


def enough(npus: Sequence[Path], cluster: Cluster) -> Finding:
    """Whether the host has the NPUs that are to train."""
    text = f"{len(npus)} NPUs here, {cluster.devices} wanted"
    if len(npus) >= cluster.devices:
        return Finding(state=OK, what="NPUs", text=text)
    return Finding(
        state=ERROR,
        what="NPUs",
        text=text,
        remedy="set DEVICES to what is there; in a container, pass /dev/davinci* into it",
    )


def permitted(npus: Sequence[Path]) -> Finding:
    """Whether the user may use the NPUs."""
    refused = [str(npu) for npu in npus if not os.access(npu, os.R_OK | os.W_OK)]
    if not refused:
        return Finding(state=OK, what="NPUs", text="may be read and written")
    return Finding(
        state=ERROR,
        what="NPUs",
        text=f"{', '.join(refused)} may not be read and written by this user",
        remedy="add the user to the group HwHiAiUser",
    )


def shared_library(name: str) -> Finding:
    """Whether one of CANN's libraries can be loaded."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return Finding(state=ERROR, what="CANN", text=str(error), remedy=SET_ENV)
    return Finding(state=OK, what="CANN", text=name)


def cann_version(home: str) -> str:
    """The version of the CANN in a folder; empty where there is none."""
    path = Path(home) / "compiler/version.info"
    if not home or not path.is_file():
        return ""
    found = re.search(r"^Version=(\S+)", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1] if found else "unknown"


def version(home: str) -> Finding:
    """Whether the CANN in ASCEND_HOME_PATH is one that MindSpore takes."""
    number = cann_version(home)
    if not number:
        return Finding(state=ERROR, what="CANN", text=f"ASCEND_HOME_PATH={home} holds no CANN", remedy=SET_ENV)
    text = f"{number}; MindSpore 2.10 was built with {BUILT_WITH}"
    if number.startswith((BUILT_WITH, *ACCEPTED)):
        return Finding(state=OK, what="CANN", text=text)
    return Finding(state=WARNING, what="CANN", text=text, remedy=f"{', '.join(ACCEPTED)} are accepted too; {SET_ENV}")


def python_packages(names: Sequence[str]) -> Finding | None:
    """What is wrong with importing CANN's Python packages, as MindSpore does in the process that trains."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, *names], capture_output=True, text=True, timeout=IMPORT_S, check=False
    )
    broken = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
    if not broken and done.returncode == 0:
        return None
    if not broken:
        return Finding(state=ERROR, what="CANN", text=f"importing {', '.join(names)} ended Python", remedy=SET_ENV)
    name, said = broken[0]
    missing = re.search(r"No module named '([\w.]+)'", said)
    own = missing and missing[1].partition(".")[0] not in names
    return Finding(
        state=ERROR,
        what="CANN",
        text=f"Python package {name} cannot be imported ({said})",
        remedy=PYTHON_PACKAGES if own else SET_ENV,
    )


def chip() -> Finding:
    """Which chip it is."""
    done = subprocess.run([sys.executable, "-c", SOC_NAME], capture_output=True, text=True, timeout=IMPORT_S, check=False)
    name = done.stdout.strip()
    if not name:
        return Finding(
            state=WARNING, what="chip", text="acl does not name it", remedy="npu-smi info says whether it is well"
        )
    if OWN_KERNELS.match(name):
        return Finding(state=OK, what="chip", text=name)
    return Finding(
        state=WARNING,
        what="chip",
        text=f"{name} is none that MindSpore 2.10 has kernels of its own for (Atlas A2, A3)",
        remedy="training may work all the same; sh scripts/accept.sh tells",
    )


def compiler() -> Finding:
    """Whether there is the compiler that CANN calls for operators."""
    if shutil.which("g++"):
        return Finding(state=OK, what="g++", text="is there")
    return Finding(
        state=ERROR, what="g++", text="is not there, and CANN calls it", remedy="install your system's package of it"
    )


def hccl_ports(ports: range = HCCL_PORTS, settings: Path = Path("/proc/sys/net/ipv4")) -> Finding:
    """Whether the ports are free at which ranks of several NPUs meet, and stay so."""
    text = f"{ports[0]} to {ports[-1]}, at which NPUs meet,"
    taken = [port for port in ports if not is_free(port)]
    if taken:
        remedy = f"stop who listens there (ss -ltnp), and {RESERVE_PORTS}"
        return Finding(state=ERROR, what="ports", text=f"{text} are taken: {', '.join(map(str, taken))}", remedy=remedy)
    least, most = (settings / "ip_local_port_range").read_text().split()
    reserved = (settings / "ip_local_reserved_ports").read_text().strip()
    if int(least) <= ports[-1] and int(most) >= ports[0] and not covers(reserved, ports):
        return Finding(state=WARNING, what="ports", text=f"{text} may be given to other programs", remedy=RESERVE_PORTS)
    return Finding(state=OK, what="ports", text=f"{text} are free")


def is_free(port: int) -> bool:
    """Whether nobody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def covers(reserved: str, ports: range) -> bool:
    """Whether a list such as 8080,60000-60031 has all the ports."""
    found: set[int] = set()
    for part in filter(None, reserved.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found.issuperset(ports)
