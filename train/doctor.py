"""Whether this machine can train: a line for each thing that has to be right, with the remedy where it is not.

    python train/doctor.py
    DEVICES=8 python train/doctor.py --records work/records --recipe train/recipes/hmdb51_r3d50.yaml

Looks at the libraries, the device, processors, memory and disk, ports, processes left behind by launches that were killed,
and, given them, at the records' files and at how the recipe's batch fits them. The environment says what is to be trained
on, as for train/launch.py. Ends with 2 when a line is an error.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(ROOT)

INSTALL = "pip install --require-hashes -r requirements.lock"
try:
    import psutil

    from mindrecord import checksums, manifest
    from mindrecord.manifest import Manifest
    from preprocess.common import cli
    from preprocess.common.cpus import available_cpus
    from preprocess.common.errors import InputError
    from train import ascend_host, config
    from train.cluster import CORES_PER_NPU, QUEUED_BATCHES, Cluster, find_master, free_port, left_behind, read_cluster
    from train.config import Recipe
    from train.findings import ERROR, OK, WARNING, Finding, cause, error_of
    from train.loader import shared_bytes
    from train.ranks import Launch
    from train.run_folder import RUNS
except ImportError as missing:
    print(f"error: {missing}: {INSTALL}", file=sys.stderr)
    sys.exit(2)

REQUIREMENT = re.compile(r"([A-Za-z][\w.-]*)")
PYTHONS = ("3.11", "3.12")
TRY_S = 300.0
TRY = Path(__file__).resolve().with_name("try_step.py")
LEAST_DISK_GB = 5  # three checkpoints of the largest networks
LEAST_STEPS = 10


@dataclass(frozen=True)
class Options:
    """Say whether this machine can train, and what to do where it cannot."""

    records: Path | None = None
    """A records folder to check, every byte of it once a pack."""
    recipe: Path | None = None
    """A recipe to check against it."""
    split: str = "1"
    """Whose training videos."""


def main(options: Options) -> int:
    recipe = config.load_recipe(options.recipe) if options.recipe else None
    if recipe:
        check_network(recipe)
    cluster = read_cluster(os.environ)
    states = []
    for finding in examine(options, recipe, cluster):
        print(finding, flush=True)
        states.append(finding.state)
    print(f"{states.count(ERROR)} errors, {states.count(WARNING)} warnings")
    return cli.EXIT_INPUT_ERROR if ERROR in states else 0


def check_network(recipe: Recipe) -> None:
    """Build the recipe's network as training does, but on the CPU.

    Raises:
        InputError: there is no such network, or it has no such option, depth or stage.
    """
    try:
        from train import devices
        from train.freeze import freeze
        from train.trainer import new_network
    except (ImportError, OSError):
        return  # `examine` says so
    devices.use("CPU", recipe.seed)
    network = new_network(recipe, num_classes=2)
    if recipe.freeze_until is not None:
        freeze(network, recipe.freeze_until, recipe.frozen_bn)


def examine(options: Options, recipe: Recipe | None, cluster: Cluster) -> Iterator[Finding]:
    """All findings, in the order of the output."""
    on_ascend = False
    yield from libraries(installed_versions(), locked_versions())
    try:
        from train import devices

        target = devices.target()
        on_ascend = target == "Ascend"
    except (ImportError, OSError) as error:  # a shared library that is not there
        yield Finding(state=ERROR, what="MindSpore", text=f"cannot be imported ({error})", remedy=INSTALL)
    else:
        if on_ascend:
            yield from ascend_host.examine(devices.ascend_devices(), cluster)
            if recipe:
                yield transfer(recipe)
        yield from device(cluster, target)
    yield cores(available_cpus(), cluster, on_ascend)
    if recipe:
        yield memory(recipe, cluster, psutil.virtual_memory().available)
        yield shared_memory(recipe, cluster, shutil.disk_usage("/dev/shm").free)
    yield disk(RUNS, shutil.disk_usage(nearest_folder(RUNS)).free)
    yield port(cluster)
    yield processes()
    if options.records:
        found = whole(options.records)
        yield found
        if recipe and found.state == OK:
            yield batch(manifest.load(options.records), options.split, recipe, cluster)


def installed_versions() -> dict[str, str]:
    """Installed version of each package in requirements.in, and of "python", by name."""
    found = {"python": platform.python_version()}
    for name in locked_versions():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def locked_versions() -> dict[str, str]:
    """Version by name in requirements.lock of what requirements.in names."""
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    wanted = {match[0].lower() for match in map(REQUIREMENT.match, lines) if match}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==([^\s\\]+)", lock, re.MULTILINE))
    return {name: version for name, version in locked.items() if name.lower() in wanted}


def libraries(installed: dict[str, str], locked: dict[str, str]) -> Iterator[Finding]:
    """Whether what is installed is what the lock file says, known conflicts first."""
    python = installed["python"]
    if python.rpartition(".")[0] in PYTHONS:
        yield Finding(state=OK, what="Python", text=python)
    else:
        yield Finding(
            state=ERROR,
            what="Python",
            text=f"{python} is not {' or '.join(PYTHONS)}, which MindSpore 2.10 needs",
            remedy="install one",
        )
    if installed.get("numpy", "").startswith("2"):
        yield Finding(
            state=ERROR, what="numpy", text=f"{installed['numpy']}: MindSpore's reshape fails with numpy 2", remedy=INSTALL
        )
    missing = [name for name in locked if name not in installed]
    if missing:
        yield Finding(state=ERROR, what="libraries", text=f"{', '.join(missing)} not installed", remedy=INSTALL)
    others = [
        f"{name} {installed[name]}, not {locked[name]}"
        for name in locked
        if installed.get(name, "") not in ("", locked[name])
    ]
    if others:
        yield Finding(
            state=WARNING, what="libraries", text=f"other versions than those tested: {'; '.join(others)}", remedy=INSTALL
        )
    if not missing and not others:
        yield Finding(
            state=OK, what="libraries", text=f"{len(locked)} as locked, MindSpore {installed.get('mindspore')} among them"
        )


def device(cluster: Cluster, target: str) -> Iterator[Finding]:
    """What each rank of this host can do of train/try_step.py, in processes of their own, for they may be ended by it."""
    how = "sunk, in float16" if target == "Ascend" else "fed, in float32"
    texts = {
        "compute": f"MindSpore computes on {target}",
        "ranks": "AllReduce adds up",
        "step": f"a training step works, {how}",
    }
    local = replace(cluster, hosts=1, host_rank=0, address="127.0.0.1", port=free_port())
    if local.ranks == 1:
        del texts["ranks"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_time = try_step(folder, local)
        for part, text in texts.items():
            failed = [rank for rank in range(local.ranks) if part not in parts_done(folder, rank)]
            if not failed:
                each = f", on each of {local.ranks} ranks" if local.ranks > 1 else ""
                yield Finding(state=OK, what="device", text=text + each)
                continue
            log = folder / f"worker_{failed[0]}.log"
            why = cause(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else "it has not begun"
            remedy = ascend_host.SET_ENV if target == "Ascend" else INSTALL
            if not in_time:
                why, remedy = f"nothing in {TRY_S:g} s", "look at who holds the device (npu-smi info)"
            ranks = ", ".join(map(str, failed))
            yield Finding(state=ERROR, what="device", text=f"not so on rank {ranks}: {text} ({why})", remedy=remedy)
            return


def try_step(folder: Path, cluster: Cluster) -> bool:
    """Run train/try_step.py in the ranks; whether they ended in time."""
    if cluster.ranks == 1:
        with (folder / "worker_0.log").open("w", encoding="utf-8") as log:
            command = [sys.executable, str(TRY), str(folder)]
            try:
                subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, timeout=TRY_S, check=False)
            except subprocess.TimeoutExpired:
                return False
        return True
    launch = Launch(cluster, folder, TRY, [str(folder)])
    try:
        launch.manager.wait(TRY_S)
    except subprocess.TimeoutExpired:
        return False
    finally:
        launch.clean_up()
    return True


def parts_done(folder: Path, rank: int) -> list[str]:
    """What of train/try_step.py worked on a rank."""
    path = folder / f"{rank}.txt"
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def cores(available: int, cluster: Cluster, on_ascend: bool) -> Finding:
    """Whether the processors suffice for the ranks of this host."""
    text = f"{available} for {cluster.devices} ranks on this host"
    if available < cluster.devices:
        return Finding(
            state=ERROR, what="cores", text=text, remedy="set DEVICES to at most that, or give the job or container more"
        )
    if on_ascend and available < CORES_PER_NPU * cluster.devices:
        remedy = f"the NPUs may wait for data, {CORES_PER_NPU} cores each are our target; train/profile_step.py measures it"
        return Finding(state=WARNING, what="cores", text=text, remedy=remedy)
    return Finding(state=OK, what="cores", text=text)


def memory(recipe: Recipe, cluster: Cluster, available_bytes: int) -> Finding:
    """Whether the batches that MindData holds ready fit the memory."""
    clip = recipe.clip
    queued = cluster.devices * QUEUED_BATCHES * recipe.batch_size * clip.frames * clip.size**2 * 3
    text = f"{available_bytes / 1e9:.1f} GB free, batches that wait take up to {queued / 1e9:.1f} GB"
    if queued > available_bytes:
        return Finding(state=ERROR, what="memory", text=text, remedy="lower --batch-size or DEVICES")
    return Finding(state=OK, what="memory", text=text)


def transfer(recipe: Recipe) -> Finding:
    """Whether a batch can be sunk."""
    from train import devices

    try:
        devices.check_batch(recipe.batch_size, recipe.clip)
    except InputError as error:
        return error_of("batch", error)
    return Finding(state=OK, what="batch", text="can be sent to an NPU at once")


def shared_memory(recipe: Recipe, cluster: Cluster, free_bytes: int) -> Finding:
    """Whether /dev/shm has room for what loader processes hand over."""
    workers = max(available_cpus() // cluster.devices, 1)
    wanted = cluster.devices * shared_bytes(recipe, workers)
    text = f"{free_bytes / 1e6:.0f} MB free in /dev/shm, --loader processes takes {wanted / 1e6:.0f}"
    if wanted > free_bytes:
        remedy = "keep --loader threads, or give a container more (docker run --shm-size)"
        return Finding(state=WARNING, what="memory", text=text, remedy=remedy)
    return Finding(state=OK, what="memory", text=text)


def disk(folder: Path, free_bytes: int) -> Finding:
    """Whether there is room for checkpoints."""
    text = f"{free_bytes / 1e9:.0f} GB free for {folder}"
    if free_bytes < LEAST_DISK_GB * 1e9:
        return Finding(
            state=WARNING,
            what="disk",
            text=f"{text}, the largest networks' checkpoints take {LEAST_DISK_GB}",
            remedy="make room",
        )
    return Finding(state=OK, what="disk", text=text)


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def port(cluster: Cluster) -> Finding:
    """Whether host 0, and no other, has the address where the ranks meet, and can listen there."""
    where = f"{cluster.address}:{cluster.port}"
    try:
        family, address = find_master(cluster)
    except InputError as error:
        return error_of("port", error)
    if cluster.host_rank:
        return Finding(state=OK, what="port", text=f"{where} is host 0's")
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, cluster.port))
    except OSError as error:
        return Finding(
            state=ERROR,
            what="port",
            text=f"{where} cannot be listened on ({error.strerror})",
            remedy="choose another MASTER_PORT",
        )
    return Finding(state=OK, what="port", text=f"{where} is free")


def processes() -> Finding:
    """Whether ranks of a launch that was killed are still there."""
    found = " ".join(str(process.pid) for process in left_behind())
    if found:
        return Finding(
            state=ERROR,
            what="processes",
            text="a launch that was killed left some behind, which hold devices",
            remedy=f"kill {found}",
        )
    return Finding(state=OK, what="processes", text="none left behind by a launch")


def whole(records: Path) -> Finding:
    """Whether a records folder has all its files as they were written. They are hashed once a pack."""
    try:
        checksums.check(records, manifest.load(records))
    except InputError as error:
        return error_of("records", error)
    return Finding(state=OK, what="records", text=f"{records} is whole")


def batch(packed: Manifest, split: str, recipe: Recipe, cluster: Cluster) -> Finding:
    """Whether an epoch has enough steps for a schedule to mean something."""
    packed.split_index(split)
    videos = sum(packed.class_videos[split]["train"])
    size = cluster.ranks * recipe.batch_size
    steps = -(-videos // size)
    text = f"{videos} training videos in batches of {cluster.ranks} x {recipe.batch_size}: {steps} steps an epoch"
    if videos < recipe.batch_size:
        return Finding(state=ERROR, what="batch", text=text, remedy=f"--batch-size {max(videos // 4, 1)} or less")
    if steps < LEAST_STEPS:
        fitting = max(videos // (cluster.ranks * LEAST_STEPS), 1)
        return Finding(
            state=WARNING,
            what="batch",
            text=text,
            remedy=f"few updates, and a large share of padding; --batch-size {fitting} gives more",
        )
    return Finding(state=OK, what="batch", text=text)


if __name__ == "__main__":
    cli.run(main, Options)
