from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # a minute of two processes that msrun starts

JOBS = Path(__file__).with_name("rank_jobs.py")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers under msrun have with 8 clips each, and one process with 16."""
    out = tmp_path_factory.mktemp("ranks")
    subprocess.run([sys.executable, JOBS, out, "16"], cwd=out, check=True, capture_output=True, timeout=120)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = Path(sys.executable).parent
    where = ["--master_addr=127.0.0.1", f"--master_port={port}", f"--log_dir={out / 'log'}", "--join=True"]
    workers = subprocess.Popen(
        [path / "msrun", "--worker_num=2", "--local_worker_num=2", *where, JOBS, out, "8"],
        cwd=out,
        env={**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},  # msrun starts the python on it
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = workers.communicate(timeout=150)
    finally:
        with suppress(ProcessLookupError):  # when msrun is ended its workers continue
            os.killpg(workers.pid, signal.SIGKILL)
    assert workers.returncode == 0, said.decode()
    return out


def results(out: Path, mode: str) -> list[dict[str, np.ndarray]]:
    """The parameters of both ranks and of the one process."""
    return [dict(np.load(out / f"{mode}_{name}.npz")) for name in ("2_0", "2_1", "1_0")]


def test_two_ranks_train_as_one_process_with_all_their_clips(out: Path) -> None:
    first, second, alone = results(out, "frozen_bn")
    for name, value in alone.items():
        assert (first[name] == second[name]).all(), name
        assert np.abs(first[name] - value).max() < 1e-6, name


def test_synchronised_batch_norm_has_the_statistics_of_all_clips(out: Path) -> None:
    first, second, alone = results(out, "sync_bn")
    for name, value in alone.items():
        assert (first[name] == second[name]).all(), name
        assert np.abs(first[name] - value).max() < 1e-5, name
    assert np.abs(alone["bn1.bn2d.moving_mean"]).max() > 0.01
