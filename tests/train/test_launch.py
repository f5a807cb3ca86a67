"""Training with a process for each device, started as a user starts it, and disturbed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from conftest import ROOT, Run, error_line
from test_resume import SMALL, difference, untimed, wait_for_epochs

from preprocess.common.errors import InputError
from train import cluster
from train.cluster import Cluster, read_cluster
from train.launch import TRAIN, named
from train.ranks import msrun

EPOCHS = 6
OPTIONS = [*SMALL, "--epochs", str(EPOCHS), "--save-every-minutes", "0"]
ENVIRONMENT = {"DEVICE_TARGET": "CPU", "DEVICES": "2", "PYTHON": sys.executable}
END_S = 60


def launch(
    log: Path, *arguments: object, inside: Sequence[str] = (), environment: Mapping[str, str] = ENVIRONMENT
) -> subprocess.Popen[bytes]:
    """scripts/train_8p.sh on two CPU ranks, in the background, in an empty folder; both outputs go into a file. `inside` is
    a command that calls others."""
    command = [*inside, "sh", str(ROOT / "scripts/train_8p.sh"), *map(str, arguments)]
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as stream:
        return subprocess.Popen(
            command, cwd=log.parent, env={**os.environ, **environment}, stdout=stream, stderr=subprocess.STDOUT
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
    assert f"to resume from the last checkpoint: sh scripts/train_8p.sh --resume {folder}" in log.read_text()
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


@pytest.fixture
def two_hosts() -> Iterator[list[list[str]]]:
    """Two network namespaces joined by a cable, as commands that call another inside one: all that makes two hosts of one
    for msrun, which asks whether MASTER_ADDR is its own."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("no unshare, nsenter and ip here, which make two hosts of one for this test")
    hosts: list[list[str]] = []
    with contextlib.ExitStack() as stack:
        for options in (["--map-root-user"], []):
            command = [*(hosts[0] if hosts else []), "unshare", *options, "--net", "sh", "-c", "echo up; exec sleep 600"]
            held = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(held.kill)
            if held.stdout.readline() != "up\n":
                pytest.skip("no network can be made here")
            hosts.append(["nsenter", f"--target={held.pid}", "--user", "--preserve-credentials", "--net"])
        cable = f"ip link add here type veth peer name there netns {held.pid} && ip addr add 10.99.0.1/24 dev here"
        ends = [f"{cable} && ip link set here up", "ip addr add 10.99.0.2/24 dev there && ip link set there up"]
        for host, end in zip(hosts, ends, strict=True):
            if subprocess.run([*host, "sh", "-c", f"ip link set lo up && {end}"], check=False).returncode:
                pytest.skip("no network can be made here")
        yield hosts


@pytest.mark.slow
def test_two_hosts_train_as_two_devices_of_one_and_end_together(
    two_hosts: list[list[str]], records: Path, tmp_path: Path
) -> None:
    def launch_both(folder: Path, *more: object) -> list[subprocess.Popen[bytes]]:
        where = {"DEVICES": "1", "HOSTS": "2", "MASTER_ADDR": "10.99.0.1", "MASTER_PORT": "8118"}
        options = (records, *OPTIONS, *more, "--out", folder)
        return [
            launch(log, *options, inside=host, environment=ENVIRONMENT | where | {"HOST_RANK": str(i)})
            for i, (host, log) in enumerate(zip(two_hosts, logs, strict=True))
        ]

    logs = [tmp_path / "here/host0.log", tmp_path / "here/host1.log"]
    one = launch(tmp_path / "here/one.log", records, *OPTIONS, "--out", tmp_path / "one")
    both = launch_both(tmp_path / "both")
    assert [launcher.wait(3 * END_S) for launcher in (*both, one)] == [0, 0, 0], [log.read_text() for log in logs]
    assert difference(tmp_path / "one/last.ckpt", tmp_path / "both/last.ckpt") == []
    assert untimed(tmp_path / "one") == untimed(tmp_path / "both")

    first, second = launch_both(tmp_path / "killed", "--epochs", 1000)
    wait_for_epochs(first, tmp_path / "killed", 2)
    os.kill(process_of(second, 1), signal.SIGKILL)
    assert second.wait(END_S) == 128 + signal.SIGKILL
    assert first.wait(2 * END_S) == 1  # its rank waits half a minute for the other's gradients
    assert not alive(first)
    assert not alive(second)
    assert f"error: rank 1 ended with {128 + signal.SIGKILL}" in logs[1].read_text()
    assert "error: rank 0 ended with 1" in logs[0].read_text()


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
    assert f"saved; to resume: sh scripts/train_8p.sh --resume {folder}" in log.read_text()
    epochs = len(untimed(folder))
    launcher = launch(log, "--resume", folder)
    wait_for_epochs(launcher, folder, epochs + 1)
    launcher.send_signal(number)
    assert launcher.wait(END_S) == 128 + number
    assert "resuming after step" in log.read_text()


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
    assert says in error_line(run("train/launch.py", option, "theirs", code=2, new_process=True))
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["file"]


def test_many_hosts_need_a_name_for_their_run_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOSTS": "2", "HOST_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "8118"}.items():
        monkeypatch.setenv(name, value)
    assert "HOSTS=2 needs --out, the same on every host" in error_line(run("train/launch.py", code=2, new_process=True))


def test_each_host_gives_msrun_its_own_number_and_all_else_alike(tmp_path: Path) -> None:
    def options(host_rank: int) -> list[str]:
        return msrun(
            Cluster(devices=8, hosts=4, host_rank=host_rank, address="10.0.0.1", port=8118, bind=False),
            tmp_path,
            TRAIN,
            ["--epochs", "3"],
        )

    assert {
        "--worker_num=32",
        "--local_worker_num=8",
        "--master_addr=10.0.0.1",
        "--master_port=8118",
        "--node_rank=0",
        "--join=True",
    } <= set(options(0))
    assert options(0)[-3:] == [str(ROOT / "train/train.py"), "--epochs", "3"]
    assert [o for o in options(3) if o not in options(0)] == ["--node_rank=3"]


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


def test_the_environment_describes_the_cluster() -> None:
    many = {"DEVICES": "8", "HOSTS": "4", "HOST_RANK": "3", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "8118"}
    assert read_cluster(many | {"BIND": "1"}) == Cluster(
        devices=8, hosts=4, host_rank=3, address="10.0.0.1", port=8118, bind=True
    )
    assert read_cluster(many).ranks == 32
    assert read_cluster({"DEVICES": "2", "MASTER_PORT": "8118"}) == Cluster(
        devices=2, hosts=1, host_rank=0, address="127.0.0.1", port=8118, bind=False
    )
    assert read_cluster({}).port >= 1024  # a free one


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DEVICES": "many"}, "DEVICES=many is no whole number from 1"),
        ({"DEVICES": "0"}, "DEVICES=0 is no whole number from 1"),
        ({"HOSTS": "2", "HOST_RANK": "1"}, "HOSTS=2 needs MASTER_ADDR and MASTER_PORT too"),
        ({"HOST_RANK": "1"}, "HOST_RANK=1 is not below HOSTS=1"),
        ({"BIND": "yes"}, "BIND=yes is no whole number"),
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
