"""The ranks of one launch on this host: started by msrun, followed, stopped and ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from preprocess.common import cli
from preprocess.common.cpus import available_cpus
from train.cluster import MARK, RANK_CPUS, Cluster, marked

LOOK_S = 0.5
SAVE_S = 120.0  # what rank 0 has for its step and its checkpoint when training is to stop
KILL_S = 10.0
LAST_LINES = 15
ERROR = "error: "  # what a command's one line for a user's mistake begins with
NOTES = ("[INFO] DISTRIBUTED(", "[WARNING] DISTRIBUTED(")
FAILED = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")


def msrun(cluster: Cluster, logs: Path, script: Path, arguments: list[str]) -> list[str]:
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

    def __init__(self, cluster: Cluster, logs: Path, script: Path, arguments: list[str]) -> None:
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
                msrun(cluster, logs, script, arguments),
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
