from __future__ import annotations

import importlib
import importlib.util
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing import forkserver
from pathlib import Path

import pytest
from conftest import ROOT, Run, gone
from executor_jobs import (
    EXIT_0,
    EXIT_3,
    GOOD,
    HANG,
    HANG_ALL_THREADS,
    KILLED,
    ONCE,
    PROGRAM_HANGS,
    SEGFAULT,
    Answer,
    Job,
    attempts,
    fail,
    import_the_project,
    square,
)

from preprocess.common.errors import InputError
from preprocess.workers import executors
from preprocess.workers.outcomes import Died

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="Dask is not installed: requirements-cluster.lock has it"
)
everywhere = pytest.mark.parametrize(
    "cluster", [pytest.param("", id="processes"), pytest.param("local:2", marks=needs_dask)]
)
# Dask takes seconds to start a worker again, and 15 more where it loses an item whose worker died
everywhere_dying = pytest.mark.parametrize(
    "cluster", [pytest.param("", id="processes"), pytest.param("local:2", marks=[needs_dask, pytest.mark.slow])]
)
JOBS = Path(__file__).with_name("executor_jobs.py")
SOON_S = 15.0


def jobs(folder: Path, count: int, kinds: dict[int, str] | None = None, seconds: float = 0.01) -> Iterator[Job]:
    return (
        Job(number=number, folder=folder, kind=(kinds or {}).get(number, GOOD), seconds=seconds) for number in range(count)
    )


def given_up(job: Job, reason: str) -> Answer:
    """The result of a job whose worker died twice."""
    assert reason == executors.DIED_TWICE
    return Answer(job.number, -1, 0)


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """All processes that descend from a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


@everywhere
def test_every_result_comes_once_and_from_more_than_one_other_process(cluster: str, tmp_path: Path) -> None:
    answers = list(executors.run(square, jobs(tmp_path, 60), 2, cluster))
    assert sorted(answer.number for answer in answers) == list(range(60))
    assert all(answer.square == answer.number**2 for answer in answers)
    assert len({answer.pid for answer in answers}) == 2
    assert os.getpid() not in {answer.pid for answer in answers}
    assert [attempts(tmp_path, number) for number in range(60)] == [1] * 60


def test_no_items_no_results() -> None:
    assert list(executors.run(square, [], 2)) == []


@everywhere
def test_what_the_function_raises_comes_through_as_itself(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"^number 7$"):
        list(executors.run(fail, jobs(tmp_path, 20), 2, cluster))


@everywhere_dying
def test_a_worker_killed_from_outside_loses_nothing(cluster: str, tmp_path: Path) -> None:
    answers: list[Answer] = []
    for answer in executors.run(square, jobs(tmp_path, 60, seconds=0.05), 2, cluster):
        answers.append(answer)
        if len(answers) in (10, 40):
            os.kill(answer.pid, signal.SIGKILL)
    assert sorted(answer.number for answer in answers) == list(range(60))
    assert all(answer.square == answer.number**2 for answer in answers)


@everywhere_dying
def test_items_that_end_their_worker_are_given_up_after_two_deaths_and_no_other_is(cluster: str, tmp_path: Path) -> None:
    kinds = {0: KILLED, 3: EXIT_0, 100: SEGFAULT, 101: EXIT_3, 199: KILLED}
    answers = list(executors.run(square, jobs(tmp_path, 200, kinds), 2, cluster, given_up))
    assert sorted(answer.number for answer in answers) == list(range(200))
    assert {answer.number for answer in answers if answer.square == -1} == set(kinds)
    assert all(answer.square == answer.number**2 for answer in answers if answer.number not in kinds)
    if cluster:  # Dask does not know whose death it was: what only waited at that worker is put aside and run again as well
        assert all(attempts(tmp_path, number) in (1, 2) for number in kinds)
    else:
        assert [attempts(tmp_path, number) for number in kinds] == [2] * len(kinds)
        assert all(attempts(tmp_path, number) == 1 for number in range(200) if number not in kinds)


@everywhere_dying
def test_an_item_that_hangs_is_given_up_after_its_time_and_the_others_are_done(cluster: str, tmp_path: Path) -> None:
    kinds = {1: HANG, 2: PROGRAM_HANGS, 3: HANG_ALL_THREADS}
    reasons: dict[int, str] = {}

    def note(job: Job, reason: str) -> Answer:
        reasons[job.number] = reason
        return Answer(job.number, -1, 0)

    began = time.monotonic()
    answers = list(executors.run(square, jobs(tmp_path, 12, kinds), 2, cluster, note, timeout_s=1.0))
    assert time.monotonic() - began < 30
    assert sorted((answer.number, answer.square) for answer in answers) == [
        (n, -1 if n in kinds else n**2) for n in range(12)
    ]
    assert reasons == dict.fromkeys(kinds, "it was not done after 1 s, the limit that --video-timeout sets")
    if not cluster:
        assert [attempts(tmp_path, number) for number in kinds] == [1, 1, 1]
    wait_until(lambda: gone(int((tmp_path / "program").read_text())), "the program has not ended")


def test_an_item_that_hangs_is_an_error_without_a_result_for_it(tmp_path: Path) -> None:
    answers: list[Answer] = []
    with pytest.raises(InputError, match=r"^one item could not be done: it was not done after 0\.5 s"):
        answers.extend(executors.run(square, jobs(tmp_path, 6, {0: HANG}), 2, timeout_s=0.5))
    assert sorted(answer.number for answer in answers) == [1, 2, 3, 4, 5]


@everywhere_dying
def test_an_item_that_ends_its_worker_once_is_run_again(cluster: str, tmp_path: Path) -> None:
    answers = list(executors.run(square, jobs(tmp_path, 12, {4: ONCE}), 2, cluster, given_up))
    assert sorted((answer.number, answer.square) for answer in answers) == [(n, n**2) for n in range(12)]
    assert attempts(tmp_path, 4) == 2


@everywhere_dying
def test_without_a_result_for_it_such_an_item_is_an_error_once_all_others_are_done(cluster: str, tmp_path: Path) -> None:
    answers: list[Answer] = []
    with pytest.raises(InputError, match=r"^one item could not be done: its worker process died twice.*run again") as raised:
        answers.extend(executors.run(square, jobs(tmp_path, 12, {2: EXIT_3}), 2, cluster))
    assert sorted(answer.number for answer in answers) == [n for n in range(12) if n != 2]
    assert "\n" not in str(raised.value)


@everywhere
def test_items_are_taken_as_workers_become_free_and_leaving_early_ends_the_workers(cluster: str, tmp_path: Path) -> None:
    taken = 0

    def counted() -> Iterator[Job]:
        nonlocal taken
        for job in jobs(tmp_path, 10**9, seconds=0):
            taken += 1
            yield job

    results = executors.run(square, counted(), 2, cluster)
    before = set(children(os.getpid()))
    pids = set()
    for done in range(1, 31):
        pids.add(next(results).pid)
        assert taken <= done + 12
    assert set(children(os.getpid())) - before
    results.close()  # type: ignore[attr-defined]
    wait_until(lambda: all(map(gone, pids)), "the workers have not ended")


@needs_dask
def test_workers_of_our_own_cluster_that_dask_has_lost_are_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask_cluster = importlib.import_module("preprocess.workers.dask_cluster")
    monkeypatch.setattr(dask_cluster, "COUNT_WORKERS_EVERY_S", 0.3)
    with (
        dask_cluster.connected("local:1", 0.0) as executor,
        closing(executor.outcomes(square, jobs(tmp_path, 4))) as outcomes,
    ):
        first = next(outcomes)
        (nanny,) = executor.client.cluster.workers.values()
        nanny.auto_restart = False
        os.kill(first.pid, signal.SIGKILL)
        others = [outcome.item if isinstance(outcome, Died) else outcome for outcome in outcomes]
    assert sorted(other.number for other in [first, *others]) == [0, 1, 2, 3]


@everywhere
def test_kill_9_of_the_parent_leaves_no_process(cluster: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(JOBS), "2", cluster, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = {parent.stdout.readline().strip() for _ in range(10)}
        left = children(parent.pid)
        parent.kill()
    assert workers <= {str(pid) for pid in left}
    try:
        wait_until(lambda: all(map(gone, left)), "there are processes left")
    finally:
        for pid in left:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)


@everywhere
def test_ctrl_c_is_left_to_the_parent(cluster: str, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, str(JOBS), "2", cluster, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    for _ in range(10):
        parent.stdout.readline()
    left = children(parent.pid)
    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=SOON_S)
    assert errors.count("Traceback") == 1, errors
    assert errors.strip().endswith("KeyboardInterrupt")
    wait_until(lambda: all(map(gone, left)), f"still there: {[pid for pid in left if not gone(pid)]}")


def test_many_workers_need_not_fit_into_the_usual_limit_of_open_files(tmp_path: Path) -> None:
    command = ["sh", "-c", 'ulimit -S -n 70; exec "$@"', "sh", sys.executable, str(JOBS), "8", "", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert len({parent.stdout.readline() for _ in range(60)}) == 8
        parent.terminate()


@needs_dask
def test_more_workers_than_open_files_are_allowed_is_an_error_that_says_so() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY:
        pytest.skip("this system has no limit of open files")
    with pytest.raises(InputError, match=f"open files, the limit is {most}: take fewer"):
        list(executors.run(square, [], 1, f"local:{most}"))


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    module = types.ModuleType("nowhere_else")
    exec("def function(item): return item", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # one of an earlier test would say it there
    with pytest.raises(InputError, match="the worker processes end before they begin"):
        list(executors.run(module.function, [1, 2, 3], 1, "", given_up))
    assert "No module named 'nowhere_else'" in capfd.readouterr().err


def test_a_worker_that_dies_before_it_begins_is_blamed_on_no_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_starter.py").write_text(f"""
import multiprocessing, os, pathlib
starts = pathlib.Path({str(tmp_path / "starts")!r})
if multiprocessing.parent_process() is not None:
    with starts.open("a") as stream: stream.write("x")
    if len(starts.read_text()) < 3: os._exit(1)
def function(item): return item
""")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("slow_starter").function
    assert list(executors.run(function, ["one"], 1, "", lambda item, reason: f"{item}: {reason}")) == ["one"]
    assert (tmp_path / "starts").read_text() == "xxx"


def test_a_cluster_without_dask_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"^--cluster needs Dask: pip install -r requirements-cluster\.lock$"):
        list(executors.run(square, [], 2, "local:2"))


@needs_dask
@pytest.mark.parametrize("address", ["local", "local:0", "local:two", "10.0.0.1:8786", "tcp://10.0.0.1", "tcp://:x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=f"^--cluster {address} is neither local:N nor a scheduler's address"):
        list(executors.run(square, [], 2, address))


@needs_dask
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preprocess.workers.dask_cluster.CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(InputError, match=f"^no Dask scheduler answers at tcp://127.0.0.1:{port} within 1 s"):
            list(executors.run(square, [], 2, f"tcp://127.0.0.1:{port}"))
    with pytest.raises(InputError, match=f"^no Dask scheduler answers at tcp://127.0.0.1:{port} within 1 s"):
        list(executors.run(square, [], 2, f"tcp://127.0.0.1:{port}"))
    assert time.monotonic() - began < 5


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler and two workers of someone else's, who know nothing of the project.

    Now and then Dask does not start a worker again that died while it was starting; then their manager does, as Slurm would.
    """
    somewhere = tmp_path / "somewhere"
    somewhere.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(JOBS.parent),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = f"{sys.executable} -m dask"
    commands = (
        f"exec {dask} scheduler --host 127.0.0.1 --port {address.rsplit(':', 1)[1]} --no-dashboard",
        f"while :; do {dask} worker {address} --host 127.0.0.1 --nworkers 2 --nthreads 1 --no-dashboard; done",
    )
    processes = [
        subprocess.Popen(
            ["sh", "-c", command],
            cwd=somewhere,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]
    try:
        yield address, processes[0]
    finally:
        for process in processes:  # the manager is not to start any more
            os.kill(process.pid, signal.SIGSTOP)
        everyone = [pid for process in processes for pid in [*children(process.pid), process.pid]]
        for pid in everyone:
            os.kill(pid, signal.SIGKILL)
        for process in processes:
            process.wait()
        wait_until(lambda: all(map(gone, everyone)), "the cluster of the test has not ended")


@pytest.mark.slow
@needs_dask
def test_extraction_takes_the_workers_of_a_cluster_that_runs_already(
    scheduler: tuple[str, subprocess.Popen[bytes]], ucf: Path, frames: Path, tmp_path: Path, run: Run
) -> None:
    run("preprocess/extract_frames.py", "--root", ucf, "--out", tmp_path / "frames", "--cluster", scheduler[0])
    expected = {path.relative_to(frames): path.read_bytes() for path in frames.rglob("*.jpg")}
    assert {path.relative_to(tmp_path / "frames"): path.read_bytes() for path in tmp_path.rglob("*.jpg")} == expected


@needs_dask
def test_a_cluster_that_runs_already_finds_the_project_survives_deaths_and_goes_on_running(
    scheduler: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    address, process = scheduler
    (folder := tmp_path / "attempts").mkdir()
    files = list(executors.run(import_the_project, range(4), 1, address))
    assert sorted(files) == [f"{n} {ROOT / 'preprocess/common/errors.py'}" for n in range(4)]
    answers: list[Answer] = []
    for answer in executors.run(square, jobs(folder, 40, {5: KILLED, 6: ONCE}), 1, address, given_up):
        answers.append(answer)
        if len(answers) == 10:
            os.kill(answer.pid, signal.SIGKILL)
    assert sorted((answer.number, answer.square) for answer in answers) == [(n, -1 if n == 5 else n**2) for n in range(40)]
    assert 2 <= attempts(folder, 5) <= 4  # twice in each round, unless Dask blames it for the death of another too
    results = executors.run(square, jobs(folder, 10_000), 1, address)
    next(results)
    process.kill()
    with pytest.raises(InputError, match=f"the Dask scheduler at {address} was lost"):
        list(results)
