"""Extraction of real clips that is killed again and again, against one that was left alone."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Run
from test_extract import processes_of_session, tree

COMMAND = "preprocess/extract_frames.py"
KILLS = 25
WORKER_KILLS = 6
pytestmark = pytest.mark.slow


def begin(options: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / COMMAND), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.parametrize("layout", ["dir", "zip"])
def test_25_kills_at_random_moments_leave_the_bytes_of_an_undisturbed_run(
    shared: Path, tmp_path: Path, run: Run, layout: str
) -> None:
    options = ["--root", str(shared / "data/ucf101-mini"), "--allow-missing", "--short-side", "128", "--layout", layout]
    began = time.monotonic()
    run(COMMAND, *options, "--out", tmp_path / "expected")
    whole_s = time.monotonic() - began
    moments = random.Random(0)
    killed = 0
    for attempt in range(KILLS):  # each gets, on average, through a 25th of the work: what ends by itself is started again
        process = begin([*options, "--out", str(tmp_path / "f")])
        time.sleep(moments.uniform(0.2, 0.2 + 2 * whole_s / KILLS + 0.8))
        assert process.poll() in (None, 0), f"attempt {attempt}"
        killed += process.poll() is None
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while processes_of_session(process.pid):
            assert time.monotonic() < deadline, "workers outlive their parent"
            time.sleep(0.02)
    print(f"\n{killed} of {KILLS} ended by the kill; left alone it takes {whole_s:.1f} s")
    assert killed >= KILLS - 5
    run(COMMAND, *options, "--out", tmp_path / "f")
    assert tree(tmp_path / "f") == tree(tmp_path / "expected")
    assert not list((tmp_path / "f").rglob(".*.partial"))


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="Dask is not installed")
def test_killed_dask_workers_change_no_byte(shared: Path, tmp_path: Path, run: Run) -> None:
    options = ["--root", str(shared / "data/ucf101-mini"), "--allow-missing", "--short-side", "240"]
    run(COMMAND, *options, "--out", tmp_path / "expected")
    process = begin([*options, "--out", str(tmp_path / "f"), "--cluster", "local:2"])
    choice = random.Random(0)
    killed = 0
    while process.poll() is None and killed < WORKER_KILLS:
        time.sleep(choice.uniform(0.5, 1.5))
        if list((tmp_path / "f").rglob(".*.partial")) and (workers := dask_workers(process.pid)):
            os.kill(choice.choice(workers), signal.SIGKILL)
            killed += 1
    assert process.wait(timeout=300) == 0
    assert killed == WORKER_KILLS
    assert tree(tmp_path / "f") == tree(tmp_path / "expected")


def dask_workers(session: int) -> list[int]:
    """The worker processes of a cluster's session: those that write frames."""
    found = []
    for pid in processes_of_session(session):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if pid != session and b"spawn_main" in command:
            found.append(pid)
    return found
