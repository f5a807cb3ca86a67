from __future__ import annotations

import os
from pathlib import Path

import pytest

from preprocess.common import cpus
from preprocess.common.errors import InputError


def machine(folder: Path, cgroup: str, mounts: list[tuple[str, str, str]], files: dict[str, str]) -> tuple[Path, Path]:
    """The two files that describe a process's cgroups: its paths, and mounts of (root, kind, options) under `folder`."""
    lines = [
        f"3{i} 23 0:28 {root} {folder}/{i} rw - {kind} none rw,{options}" for i, (root, kind, options) in enumerate(mounts)
    ]
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n" + "\n".join(lines) + "\n")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "cgroup", folder / "mountinfo"


V2 = [("/", "cgroup2", "nsdelegate")]
V1 = [("/", "cgroup", "cpu,cpuacct"), ("/", "cgroup", "memory")]


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "expected"),
    [
        pytest.param("0::/\n", V2, {"0/cpu.max": "100000 100000\n"}, [1], id="Docker, version 2"),
        pytest.param("0::/a/b\n", V2, {"0/a/b/cpu.max": "150000 100000\n"}, [1.5], id="part of a CPU"),
        pytest.param("0::/a/b\n", V2, {"0/a/b/cpu.max": "max 100000", "0/a/cpu.max": "200000 100000"}, [2], id="a parent's"),
        pytest.param("0::/a\n", V2, {"0/a/cpu.max": "max 100000\n"}, [], id="no limit"),
        pytest.param("0::/a\n", V2, {}, [], id="no controller"),
        pytest.param(
            "4:memory:/m\n2:cpu,cpuacct:/docker/x\n",
            [("/docker/x", "cgroup", "cpu,cpuacct"), ("/", "cgroup", "memory")],
            {"0/cpu.cfs_quota_us": "50000\n", "0/cpu.cfs_period_us": "50000\n"},
            [1],
            id="Docker, version 1",
        ),
        pytest.param(
            "2:cpu,cpuacct:/kubepods/pod/x\n",
            V1,
            {"0/kubepods/pod/cpu.cfs_quota_us": "2400000\n", "0/kubepods/pod/cpu.cfs_period_us": "100000\n"},
            [24],
            id="Kubernetes, version 1",
        ),
        pytest.param(
            "2:cpu:/\n", V1, {"0/cpu.cfs_quota_us": "-1\n", "0/cpu.cfs_period_us": "100000\n"}, [], id="no limit, version 1"
        ),
        pytest.param(
            "2:cpu:/on/the/host\n",
            [("/elsewhere", "cgroup", "cpu")],
            {"0/cpu.cfs_quota_us": "300000\n", "0/cpu.cfs_period_us": "100000\n"},
            [3],
            id="a path of the host's",
        ),
        pytest.param("0::/\n", V2, {"0/cpu.max": "nonsense\n"}, [], id="not readable"),
    ],
)
def test_the_quota_of_a_container_is_found(
    cgroup: str, mounts: list[tuple[str, str, str]], files: dict[str, str], expected: list[float], tmp_path: Path
) -> None:
    assert list(cpus.quotas(*machine(tmp_path, cgroup, mounts, files))) == expected


@pytest.mark.parametrize(("limit", "expected"), [("100000", 1), ("50000", 1), ("150000", 2), ("6400000", 3), ("max", 3)])
def test_workers_0_is_one_for_each_cpu_of_the_quota_and_of_the_affinity(
    limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup, mounts = machine(tmp_path, "0::/\n", V2, {"0/cpu.max": f"{limit} 100000\n"})
    monkeypatch.setattr(cpus, "CGROUP", cgroup)
    monkeypatch.setattr(cpus, "MOUNTS", mounts)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    cpus.available_cpus.cache_clear()
    try:
        assert cpus.worker_count(0) == expected
        assert cpus.worker_count(5) == 5
    finally:
        cpus.available_cpus.cache_clear()


def test_fewer_than_0_workers_are_refused() -> None:
    with pytest.raises(InputError, match="--workers -1 is not 0 or more"):
        cpus.worker_count(-1)
