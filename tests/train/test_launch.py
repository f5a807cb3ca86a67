"""Training with a process for each device, started as a user starts it, and disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Run, error_line
from test_resume import SMALL, difference, untimed, wait_for_epochs

from preprocess.common.errors import InputError
from train import cluster
from train.cluster import Cluster, read_cluster
from train.launch import named

EPOCHS = 6
OPTIONS = [*SMALL, "--epochs", str(EPOCHS), "--save-every-minutes", "0"]
ENVIRONMENT = {"DEVICE_TARGET": "CPU", "DEVICES": "2", "PYTHON": sys.executable}
END_S = 60


def launch(log: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """scripts/train_8p.sh on two CPU ranks, in the background, in an empty folder; both outputs go into a file."""
    command = ["sh", str(ROOT / "scripts/train_8p.sh"), *map(str, arguments)]
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as stream:
        return subprocess.Popen(
            command, cwd=log.parent, env=os.environ | ENVIRONMENT, stdout=stream, stderr=subprocess.STDOUT
        )


def alive(launcher: subprocess.Popen[bytes]) -> dict[int, dict[str, str]]:
    """The processes that a launch started and that are alive, with their environment."""
    return {p.pid: p.environ() for p, mark in cluster.marked() if mark.startswith(f"{launcher.pid}-")}


def process_of(launcher: subprocess.Popen[bytes], rank: int) -> int:
    """The process id of a rank."""
    ours = {"MS_ROLE": "MS_WORKER", "RANK_ID": str(rank)}
    (pid,) = (p for p, variables in alive(launcher).items() if ours.items() <= variables.items() and os.getsid(p) == p)
    return pid


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_launch_and_resuming_gives_the_bits_of_a_run_left_alone(
    records: Path, tmp_path: Path
) -> None:
    folder, alone = tmp_path / "killed", tmp_path / "alone"
    undisturbed = launch(tmp_path / "here/alone.log", records, *OPTIONS, "--out", alone)
    log = tmp_path / "here/log"
    launcher = launch(log, records, *OPTIONS, "--out", folder)
    wait_for_epochs(launcher, folder, 2)
    os.kill(process_of(launcher, 1), signal.SIGKILL)
    assert launcher.wait(END_S) == 128 + signal.SIGKILL
    assert not alive(launcher)
    assert f"error: rank 1 ended with {128 + signal.SIGKILL}" in log.read_text()
    assert f"to go on from the last checkpoint: sh scripts/train_8p.sh --resume {folder}" in log.read_text()
    launcher = launch(log, "--resume", folder)
    assert launcher.wait(2 * END_S) == 0, log.read_text()
    assert undisturbed.wait(2 * END_S) == 0
    assert not alive(launcher)
    assert difference(alone / "last.ckpt", folder / "last.ckpt") == []
    assert untimed(alone) == untimed(folder)
    assert [line["epoch"] for line in untimed(folder)] == list(range(1, EPOCHS + 1))
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.yaml",
        "curves.svg",
        "last.ckpt",
        "logs",
        "metrics.jsonl",
        "provenance.json",
    ]
    logs = ["msrun.log", "scheduler.log", "worker_0.log", "worker_1.log"]
    assert [sorted(p.name for p in one.iterdir()) for one in (folder / "logs").iterdir()] == [logs, logs]
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["alone.log", "log"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_lets_the_ranks_save_and_leaves_nothing_behind(
    number: signal.Signals, records: Path, tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    launcher = launch(log, records, *OPTIONS, "--epochs", 100, "--save-every-minutes", 10, "--out", folder)
    wait_for_epochs(launcher, folder, 2)
    launcher.send_signal(number)
    assert launcher.wait(END_S) == 128 + number
    assert not alive(launcher)
    assert f"saved; to go on: sh scripts/train_8p.sh --resume {folder}" in log.read_text()
    epochs = len(untimed(folder))
    launcher = launch(log, "--resume", folder)
    wait_for_epochs(launcher, folder, epochs + 1)
    launcher.send_signal(number)
    assert launcher.wait(END_S) == 128 + number
    assert "going on after step" in log.read_text()


@pytest.mark.slow
def test_a_mistake_that_a_rank_finds_is_one_line(records: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", ROOT / "scripts/train_8p.sh", records, *OPTIONS, "--split", "9"],
        cwd=tmp_path,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=END_S,
    )
    assert done.returncode == 2
    assert "--split 9 is not in these records: they have 1, 2, 3" in error_line(done)
    assert "error: " not in done.stdout


@pytest.mark.slow
def test_train_1p_trains_on_one_device(records: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", ROOT / "scripts/train_1p.sh", records, *SMALL, "--epochs", "2", "--out", "run"],
        cwd=tmp_path,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line["epoch"] for line in untimed(tmp_path / "run")] == [1, 2]
    assert "epoch" in done.stdout
    assert not (tmp_path / "run/logs").exists()  # one process needs no msrun


@pytest.mark.parametrize(
    ("option", "says"), [("--out", "theirs is not empty"), ("--resume", "--resume theirs: theirs has no config.yaml")]
)
def test_nothing_is_written_into_a_folder_that_is_something_else(
    option: str, says: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/file").touch()
    monkeypatch.setenv("DEVICES", "2")
    assert says in error_line(run("train/launch.py", option, "theirs", code=2))
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["--out", "runs/a", "--epochs", "3"], "runs/a"),
        (["--out=runs/a"], "runs/a"),
        (["--resume", "runs/a/last.ckpt"], "runs/a/last.ckpt"),
        (["--epochs", "3"], None),
    ],
)
def test_the_run_folder_is_what_the_options_name(arguments: list[str], path: str | None) -> None:
    assert named(arguments, "--out", "--resume") == (Path(path) if path else None)


def test_the_environment_describes_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "hccl.json").touch()
    table = str(tmp_path / "hccl.json")
    many = {"DEVICES": "8", "HOSTS": "4", "HOST_RANK": "3", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "8118"}
    assert read_cluster(many | {"RANK_TABLE_FILE": table}) == Cluster(8, 4, 3, "10.0.0.1", 8118, table)
    assert read_cluster(many).ranks == 32
    assert read_cluster({"DEVICES": "2", "MASTER_PORT": "8118"}) == Cluster(2, 1, 0, "127.0.0.1", 8118, "")
    assert read_cluster({}).port >= 1024  # a free one


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DEVICES": "many"}, "DEVICES=many is no whole number from 1"),
        ({"DEVICES": "0"}, "DEVICES=0 is no whole number from 1"),
        ({"HOSTS": "2", "HOST_RANK": "1"}, "HOSTS=2 needs MASTER_ADDR and MASTER_PORT too"),
        ({"HOST_RANK": "1"}, "HOST_RANK=1 is not below HOSTS=1"),
        ({"RANK_TABLE_FILE": "none.json"}, "RANK_TABLE_FILE=none.json does not exist"),
    ],
)
def test_an_environment_that_cannot_be_is_refused_by_the_variables_name(environment: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_cluster(environment)


def test_what_a_killed_launcher_left_behind_is_found() -> None:
    def started(mark: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], env=os.environ | {cluster.MARK: mark})

    kept = started(f"{os.getpid()}-{time.time_ns()}")
    left = [started(f"{os.getpid()}-1"), started(f"{2**22 + 1}-{time.time_ns()}")]  # not this process; none at all
    try:
        found = {process.pid for process in cluster.left_behind()}
        assert {process.pid for process in left} <= found
        assert kept.pid not in found
    finally:
        for process in (kept, *left):
            process.kill()
            process.wait()
