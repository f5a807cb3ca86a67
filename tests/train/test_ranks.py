from __future__ import annotations

import json
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


def run_ranks(ranks: int, job: str, *arguments: object, cwd: Path) -> None:
    """Run the job with this many workers under msrun; one runs without it."""
    command = [Path(__file__).with_name(job), *arguments]
    path = Path(sys.executable).parent
    if ranks == 1:
        command = [sys.executable, *command]
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        where = ["--master_addr=127.0.0.1", f"--master_port={port}", f"--log_dir={cwd / 'log'}", "--join=True"]
        command = [path / "msrun", f"--worker_num={ranks}", f"--local_worker_num={ranks}", *where, *command]
    workers = subprocess.Popen(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},  # msrun starts the python on it
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = workers.communicate(timeout=180)
    finally:
        with suppress(ProcessLookupError):  # when msrun is ended its workers continue
            os.killpg(workers.pid, signal.SIGKILL)
    assert workers.returncode == 0, said.decode()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers under msrun have with 8 clips each, and one process with 16."""
    out = tmp_path_factory.mktemp("ranks")
    for ranks in (1, 2):
        run_ranks(ranks, "rank_jobs.py", out, 16 // ranks, cwd=out)
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


def test_an_update_that_overflows_on_one_rank_is_skipped_on_all(out: Path) -> None:
    first, second, alone = results(out, "overflow")
    assert first["loss_scale"] == second["loss_scale"] == 1.0  # halved ten times
    assert alone["loss_scale"] == 1024.0
    for name in alone:
        assert (first[name] == second[name]).all() or "moving" in name, name
    assert (first["fc.weight"] != alone["fc.weight"]).any()


def test_ranks_share_a_validation_and_none_waits_until_it_is_given_up(records: Path, tmp_path: Path) -> None:
    """It takes two ranks more than the 30 s after which an AllReduce gives up on the CPU."""
    found = {}
    for ranks in (1, 2, 3):
        run_ranks(ranks, "validation_jobs.py", tmp_path, records, 2.0, cwd=tmp_path)
        paths = [tmp_path / f"validation_{ranks}_{rank}.json" for rank in range(ranks)]
        found[ranks] = [json.loads(path.read_text()) for path in paths]
    accuracies = {rank["accuracy"] for ranks in found.values() for rank in ranks}
    assert len(accuracies) == 1
    seconds = [max(rank["seconds"] for rank in ranks) for ranks in found.values()]
    assert seconds[1] > 32
    assert seconds[1] < 0.6 * seconds[0]
    assert seconds[2] < 0.45 * seconds[0]
