"""Training with one process for each device, through msrun, and nothing left behind whatever happens.

DEVICES=8 python train/launch.py --recipe train/recipes/ucf101_r3d50.yaml --records work/records

All arguments go to train/train.py. What shapes the launch is in the environment:

    DEVICE_TARGET     Ascend or CPU, as in train/train.py
    DEVICES           processes on this host, one a device; 1 is trained without msrun
    HOSTS             how many hosts train together; each runs the same command, with
    HOST_RANK         its own number, from 0,
    MASTER_ADDR       host 0's address, and
    MASTER_PORT       a port that is free there; on a single host one is found
    BIND              1: each rank keeps to CPUs of its own
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import psutil

from preprocess.common import cli
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train.cluster import MARK, RANK_CPUS, Cluster, find_master, marked, read_cluster
from train.config import DEFAULT_RECIPE
from train.run_folder import LAST, LOGS, check_new, new_folder, to_resume

TRAIN = Path(__file__).resolve().with_name("train.py")
LOOK_S = 0.5
SAVE_S = 120.0  # what rank 0 has for its step and its checkpoint when training is to stop
KILL_S = 10.0
LAST_LINES = 15
ERROR = "error: "  # what a command's one line for a user's mistake begins with
NOTES = ("[INFO] DISTRIBUTED(", "[WARNING] DISTRIBUTED(")
FAILED = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")


def msrun(cluster: Cluster, logs: Path, arguments: list[str], script: Path = TRAIN) -> list[str]:
    """The command that starts the ranks of this host."""
    options = {
        "worker_num": cluster.ranks,
        "local_worker_num": cluster.devices,
        "master_addr": cluster.address,
        "master_port": cluster.port,
        "node_rank": cluster.host_rank,
        "log_dir": logs,
        "join": True,
        "tail_worker_log": cluster.ranks,  # none: what rank 0 says is shown by us
    }
    if cluster.bind:
        options["bind_core"] = True
    module = [sys.executable, "-m", "mindspore.parallel.cluster.run"]
    return [*module, *(f"--{name}={value}" for name, value in options.items()), str(script), *arguments]


class Launch:
    """The processes of one launch on this host."""

    def __init__(self, cluster: Cluster, logs: Path, arguments: list[str], script: Path = TRAIN) -> None:
        self.logs = logs
        self.mark = f"{os.getpid()}-{time.time_ns()}"
        self.shown = 0
        self.first_rank = cluster.host_rank * cluster.devices
        self.ranks: dict[int, int] = {}  # process id -> rank, of all that were ever seen
        logs.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # msrun calls `python`
        cpus = str(max(available_cpus() // cluster.devices, 1))
        environment = os.environ | {MARK: self.mark, "PATH": path, RANK_CPUS: cpus}
        environment.pop("RANK_TABLE_FILE", None)  # msrun does without
        with (logs / "msrun.log").open("w", encoding="utf-8") as output:
            self.manager = subprocess.Popen(
                msrun(cluster, logs, arguments, script),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C on a terminal is for us alone: at one msrun would kill the ranks
            )

    def wait(self) -> int:
        """Follow the launch to its end, showing what this host's first rank says: 0, or the first failing rank's code."""
        while True:
            ended = self.manager.poll() is not None  # asked first: then the logs are complete
            self.ranks |= self.training()
            self.show()
            failed = FAILED.search((self.logs / "msrun.log").read_text(encoding="utf-8", errors="replace"))
            if failed:
                return self.report(int(failed[1]), int(failed[2]))
            if ended:
                return self.report(None, self.manager.returncode) if self.manager.returncode else 0
            time.sleep(LOOK_S)

    def show(self) -> None:
        """Print what is new in the log of this host's first rank, but for errors, which `report` has, and MindSpore's notes
        of how ranks find each other."""
        log = self.log(self.first_rank)
        if log.is_file():
            with log.open("rb") as stream:
                stream.seek(self.shown)
                text = stream.read()
            self.shown += len(text)
            for line in text.decode(errors="replace").splitlines(keepends=True):
                if not line.startswith((ERROR, *NOTES)):
                    sys.stdout.write(line)
            sys.stdout.flush()

    def report(self, pid: int | None, code: int) -> int:
        """Say which process failed and why, and return its exit code as a shell would: a user's mistake is one line,
        anything else the end of its log."""
        code = 128 - code if code < 0 else code
        rank = self.ranks.get(pid) if pid is not None else None
        log = self.logs / "msrun.log" if rank is None else self.log(rank)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
        mistakes = [line for line in lines if line.startswith(ERROR)]
        if code == cli.EXIT_INPUT_ERROR and mistakes:
            print(mistakes[-1], file=sys.stderr)
        else:
            who = "msrun" if rank is None else f"rank {rank}"
            print(f"{ERROR}{who} ended with {code}, {log} ends with:", file=sys.stderr)
            print("\n".join(f"    {line}" for line in lines[-LAST_LINES:]), file=sys.stderr)
        return code

    def log(self, rank: int) -> Path:
        """What a rank prints."""
        return self.logs / f"worker_{rank}.log"

    def processes(self) -> list[psutil.Process]:
        """All processes of this launch that are alive, without msrun."""
        return [process for process, mark in marked() if mark == self.mark and process.pid != self.manager.pid]

    def training(self) -> dict[int, int]:
        """The process ids of this host's ranks that are alive, and which rank each is."""
        found = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                variables = process.environ()
                if variables.get("MS_ROLE") == "MS_WORKER" and os.getsid(process.pid) == process.pid:  # no data worker
                    found[process.pid] = int(variables["RANK_ID"])
        return found

    def stop(self) -> None:
        """Let the ranks finish their step and rank 0 save."""
        self.manager.kill()  # it would kill all ranks as soon as one has ended; they live on without it
        self.manager.wait()
        for pid in self.training():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        ends = time.monotonic() + SAVE_S
        while self.training() and time.monotonic() < ends:
            self.show()
            time.sleep(LOOK_S)
        self.show()

    def clean_up(self) -> None:
        """Leave no process of this launch behind."""
        self.manager.kill()
        self.manager.wait()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(self.processes(), timeout=KILL_S)


def named(arguments: list[str], *names: str) -> Path | None:
    """The value of the last of these options; None if it was not given."""
    chosen = None
    for i, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in names:
            chosen = Path(value or (arguments[i + 1] if i + 1 < len(arguments) else ""))
    return chosen


def main(arguments: list[str]) -> int:
    cluster = read_cluster(os.environ)
    if cluster.ranks == 1 or {"-h", "--help"} & {*arguments}:
        os.execv(sys.executable, [sys.executable, str(TRAIN), *arguments])
    folder = named(arguments, "--out", "--resume")
    if folder is None and cluster.hosts > 1:
        raise InputError(f"HOSTS={cluster.hosts} needs --out, the same on every host, or --resume")
    if folder is None:
        folder = new_folder(named(arguments, "--recipe") or DEFAULT_RECIPE)
        arguments = [*arguments, "--out", str(folder)]
    if named(arguments, "--resume"):
        folder = to_resume(folder)
    else:
        check_new(folder)  # before logs are written into it
    find_master(cluster)
    logs = time.strftime("%Y%m%d-%H%M%S") + (f"-host{cluster.host_rank}" if cluster.hosts > 1 else "")
    launch = Launch(cluster, (folder / LOGS / logs).resolve(), arguments)
    try:
        code = launch.wait()
    except (KeyboardInterrupt, SystemExit):
        say("stopping: the ranks finish their step and save")
        launch.stop()
        raise
    finally:
        launch.clean_up()
    if code and (folder / LAST).is_file():
        say(f"to resume from the last checkpoint: sh scripts/train_8p.sh --resume {folder}")
    return code


if __name__ == "__main__":
    cli.run_parsed(main, list)
