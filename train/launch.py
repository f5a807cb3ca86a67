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

import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])


from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train.cluster import find_master, read_cluster
from train.config import DEFAULT_RECIPE
from train.ranks import Launch
from train.run_folder import LAST, LOGS, check_new, new_folder, to_resume

TRAIN = Path(__file__).resolve().with_name("train.py")


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
    launch = Launch(cluster, (folder / LOGS / logs).resolve(), TRAIN, arguments)
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
