"""Whether the files of a records folder are those that were written. MindRecord does not notice by itself: a damaged shard
gives wrong data, or ends the process that reads it."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mindrecord import manifest
from mindrecord.manifest import COPY_OR_PACK, Manifest, StoredFile, size_problem
from preprocess.common import files
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say

FILE_NAME = "verified.json"


@dataclass(frozen=True)
class Checked:
    """`damage`: name of a damaged file -> what is wrong and what to do; `hashed`: how many files were hashed for that."""

    damage: dict[str, str]
    hashed: int


def check(folder: Path, packed: Manifest) -> None:
    """Check that all files of a pack are those that were written. They are hashed once a pack.

    Raises:
        InputError: one is not. The line names it.
    """
    checked = check_files(folder, packed, available_cpus(), remembered(folder))
    if checked.damage:
        others = len(checked.damage) - 1
        more = f" ({others} more files are damaged: mindrecord/verify.py lists them)" if others else ""
        raise InputError(next(iter(checked.damage.values())) + more)
    say(f"{2 * len(packed.shards)} files are as the manifest says; {checked.hashed} of them were hashed now")


def check_files(folder: Path, packed: Manifest, workers: int, known: dict[str, list[int]]) -> Checked:
    """Compare sizes and SHA-256 of every file of a pack with the manifest, on `workers` threads.

    Files that are in the state that `known` has for them are not hashed. Remembers next to the manifest the states of those
    that are sound, unless the folder cannot be written to.
    """

    def look(file: StoredFile) -> tuple[StoredFile, list[int], str]:
        problem = size_problem(folder, file)
        if problem:
            return file, [], problem
        path = folder / file.name
        try:
            state = state_of(path)  # before it is hashed: should it change meanwhile, it is hashed again next time
            sound = known.get(file.name) == state or files.sha256(path) == file.sha256
        except OSError as error:
            return file, [], f"{path} cannot be read ({error.strerror}): {COPY_OR_PACK}"
        return file, state, "" if sound else f"{path} has other bytes than were written to it: {COPY_OR_PACK}"

    listed = [file for shard in packed.shards for file in shard.stored_files]
    damage, states = {}, {}
    threads = ThreadPoolExecutor(workers)
    try:
        for file, state, problem in progress(threads.map(look, listed), "files", total=len(listed)):
            if problem:
                damage[file.name] = problem
            else:
                states[file.name] = state
    finally:
        threads.shutdown(cancel_futures=True)
    if states != known:
        memory = {"manifest_sha256": files.sha256(folder / manifest.FILE_NAME), "states": states}
        with contextlib.suppress(OSError):
            files.write_json(folder / FILE_NAME, memory)
    return Checked(damage, sum(known.get(name) != state for name, state in states.items()))


def remembered(folder: Path) -> dict[str, list[int]]:
    """The states in which the pack's files were found sound before; none when the manifest has changed since."""
    try:
        value = files.read_json(folder / FILE_NAME)
    except InputError:
        return {}
    same = value.get("manifest_sha256") == files.sha256(folder / manifest.FILE_NAME)
    return value.get("states", {}) if same else {}


def state_of(path: Path) -> list[int]:
    """What changes when a file is written to or replaced: size, time of modification and, which a copy does not keep, of
    change."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
