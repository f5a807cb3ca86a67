"""What the tests of the executors run on workers: functions of a module that workers can import.

python executor_jobs.py WORKERS CLUSTER FOLDER     run() in a process of its own, which a test may kill
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

GOOD, SEGFAULT, KILLED, EXIT_0, EXIT_3, ONCE = "good", "segfault", "killed", "exit 0", "exit 3", "once"
HANG, HANG_ALL_THREADS, PROGRAM_HANGS = "hang", "hang all threads", "program hangs"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A number to square; how its worker ends over it; the folder where every attempt leaves a line."""

    number: int
    folder: Path
    kind: str = GOOD
    seconds: float = 0.01


@dataclass(frozen=True)
class Answer:
    """The square, and the process that found it."""

    number: int
    square: int
    pid: int


def square(job: Job) -> Answer:
    """The square of the number, unless the job ends its worker."""
    again = attempts(job.folder, job.number) > 0
    with (job.folder / str(job.number)).open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    time.sleep(job.seconds)
    if job.kind == HANG:
        ctypes.CDLL(None).pause()
    if job.kind == HANG_ALL_THREADS:
        ctypes.PyDLL(None).pause()  # without letting go of the GIL
    if job.kind == PROGRAM_HANGS:
        with subprocess.Popen(["sleep", "1000"]) as program:
            (job.folder / "program").write_text(str(program.pid))
    if job.kind.startswith("exit"):
        os._exit(int(job.kind.split()[1]))
    if job.kind == SEGFAULT:
        os.kill(os.getpid(), signal.SIGSEGV)
    if job.kind == KILLED or (job.kind == ONCE and not again):
        os.kill(os.getpid(), signal.SIGKILL)
    return Answer(job.number, job.number**2, os.getpid())


def attempts(folder: Path, number: int) -> int:
    """How often a worker has begun with a number."""
    path = folder / str(number)
    return len(path.read_text().splitlines()) if path.exists() else 0


def fail(job: Job) -> Answer:
    """Raise on number 7."""
    if job.number == 7:
        raise LookupError(f"number {job.number}")
    return square(job)


def import_the_project(number: int) -> str:
    """The file of a module of the project, which a worker finds only if the project is on its path."""
    from preprocess.common import errors

    return f"{number} {errors.__file__}"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests with & has it ignored
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from preprocess.workers import executors

    workers, cluster, folder = sys.argv[1:]
    jobs = (Job(number=number, folder=Path(folder), seconds=0.1) for number in range(10_000))
    for answer in executors.run(square, jobs, int(workers), cluster):
        print(answer.pid, flush=True)
