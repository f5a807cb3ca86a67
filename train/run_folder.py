"""A run's folder: what it holds, besides the checkpoints, to understand the run and to resume it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from preprocess.common import files
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.journal import Journal

CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
METRICS = "metrics.jsonl"
CURVES = "curves.svg"
LAST = "last.ckpt"
BEST = "best.ckpt"
KEPT = "epoch_{:04d}.ckpt"
LOGS = "logs"
RUNS = Path("work/runs")
PACKAGES = ("mindspore", "numpy", "av", "pillow", "opencv-python-headless", "simplejpeg")


def new_folder(recipe: Path) -> Path:
    """The default folder for a run of this recipe."""
    return RUNS / f"{recipe.stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def check_new(folder: Path) -> None:
    """Check that nothing is there yet, besides the logs of train/launch.py.

    Raises:
        InputError: something is.
    """
    files.refuse_file(folder, "a run")
    if folder.exists() and any(path.name != LOGS for path in folder.iterdir()):
        raise InputError(
            f"{folder} is not empty: choose another --out, a run never writes over another; to continue one, --resume it"
        )


def to_resume(named: Path) -> Path:
    """The run folder that --resume names, itself or by its last.ckpt.

    Raises:
        InputError: it is none.
    """
    folder = named.parent if named.name == LAST else named
    for name in (CONFIG, PROVENANCE, LAST):
        if not (folder / name).is_file():
            raise InputError(f"--resume {named}: {folder} has no {name}: name the folder of a run that train/train.py began")
    return folder


def remove_older(folder: Path, most: int) -> None:
    """Of the checkpoints that are kept by epoch, remove all but the newest `most`."""
    for path in sorted(folder.glob("epoch_[0-9]*.ckpt"))[:-most]:
        path.unlink()


def check_tensorboard() -> None:
    """Check that what --tensorboard needs is installed.

    Raises:
        InputError: it is not.
    """
    if importlib.util.find_spec("tensorboardX") is None:
        raise InputError("--tensorboard needs tensorboardX: pip install --require-hashes -r requirements-extra.lock")


def write_new(folder: Path, recipe: dict[str, Any], provenance: dict[str, Any]) -> None:
    """Write config.yaml, the resolved recipe, and provenance.json: what ran on what, to run it again."""
    files.write_text(folder / CONFIG, yaml.safe_dump(plain(recipe), sort_keys=False, allow_unicode=True))
    files.write_json(folder / PROVENANCE, {**circumstances(), **provenance, "resumed": []})


def write_resumed(folder: Path, steps_done: int) -> None:
    """Add to provenance.json that the run was resumed here."""
    provenance = files.read_json(folder / PROVENANCE)
    provenance["resumed"].append({"steps_done": steps_done, **circumstances()})
    files.write_json(folder / PROVENANCE, provenance)


def circumstances() -> dict[str, Any]:
    """What this process is: command line, time, machine, code and versions."""
    return {"command": sys.argv, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **surroundings()}


def surroundings(*packages: str) -> dict[str, Any]:
    """The machine, the project's commit and the versions of PACKAGES and of these further ones."""
    return {
        "machine": platform.platform(),
        "processor": processor(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "cores": available_cpus(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in (*PACKAGES, *packages)},
    }


def git_commit() -> str | None:
    """The project's commit, with -dirty where files differ from it; none without git or its folder."""
    root = Path(__file__).resolve().parents[1]
    describe = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip() or None
    except FileNotFoundError:
        return None


def processor(cpuinfo: str) -> str:
    """The processor's name in /proc/cpuinfo, which on Arm has none; then its architecture."""
    named = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    return named[1].strip() if named else platform.machine()


def plain(value: object) -> object:
    """Tuples as lists, all through: YAML has no tuple."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class MetricsLog:
    """metrics.jsonl, a line an epoch, and TensorBoard's events next to it where wanted.

    Opened with the number of epochs that the run's checkpoint has finished: later lines, of epochs that are trained again,
    are taken out, as is a line that was cut off.
    """

    def __init__(self, folder: Path, epochs: int, tensorboard: bool) -> None:
        self.journal = metrics_journal(folder)
        self.journal.rewrite(self.journal.read()[:epochs])
        self.events = event_writer(folder, epochs) if tensorboard else None

    def write(self, line: dict[str, Any]) -> None:
        """Add an epoch."""
        self.journal.append(line)
        if self.events:
            for key, value in line.items():
                if isinstance(value, float):
                    self.events.add_scalar(key, value, line["epoch"])
            self.events.flush()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl.

    Raises:
        InputError: there is none.
    """
    if not (folder / METRICS).is_file():
        raise InputError(f"{folder} has no {METRICS}: name the folder of a run that train/train.py began")
    return metrics_journal(folder).read()


def metrics_journal(folder: Path) -> Journal[dict[str, Any]]:
    """The file of metrics.jsonl."""
    return Journal(folder / METRICS, dict, dict)


def event_writer(folder: Path, epochs: int) -> Any:
    """TensorBoard's writer into the folder; steps after `epochs` that it holds are discarded."""
    import tensorboardX

    return tensorboardX.SummaryWriter(str(folder / "tensorboard"), purge_step=epochs + 1 if epochs else None)
