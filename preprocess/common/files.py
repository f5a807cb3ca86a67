"""Files that appear whole or not at all, and folders that say what they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from preprocess.common.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file under another name, then rename it into place (atomic on one file system)."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def by_rename(path: Path) -> Iterator[Path]:
    """Yield a hidden name next to `path`, of the same suffix, to write to; on success that file becomes `path`.

    Two processes must not do so to one path at a time; `write_text` they may.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is absent or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (ValueError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(f"{path} is not a JSON file: {error}") from None


def apply_umask(path: Path) -> None:
    """Give a file the mode that a file newly made by this process would have."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def sha256(path: Path) -> str:
    """The file's SHA-256, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file(path: Path, option: str, *suffixes: str) -> None:
    """Check that a file of one of these suffixes can be written to `path`, which `option` names.

    Raises:
        InputError: it cannot.
    """
    if path.suffix.lower() not in suffixes or not path.parent.is_dir() or path.is_dir():
        raise InputError(f"{option} {path}: {option} ends in {' or '.join(suffixes)}, in a folder that exists")


def refuse_file(path: Path, what: str) -> None:
    """Check that `path` can be a folder for `what`.

    Raises:
        InputError: a file is there, or where a folder above it would be.
    """
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file, not a folder for {what}: choose another --out")


def refuse_other_folder(path: Path, marker: str, what: str) -> None:
    """Check that `path` is `what`, which has a file `marker`, or is empty or absent.

    Every output folder is claimed through this, so that a mistyped --out never mixes our files into someone else's.

    Raises:
        InputError: it holds something else.
    """
    refuse_file(path, what)
    if path.is_dir() and not (path / marker).is_file() and any(path.iterdir()):
        raise InputError(f"{path} holds something else ({what} would have a {marker}): choose an empty or new --out")


@contextlib.contextmanager
def folder_by_rename(path: Path, replaces: bool = False) -> Iterator[Path]:
    """Yield a hidden folder next to `path`; on success it becomes `path` by one rename, otherwise it is removed.

    An empty folder that stands at `path` is replaced; one that holds anything only with `replaces`, once the new one is
    whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if replaces:
            old = path.with_name(f".{path.name}.old")
            os.rename(path, old)
            os.rename(partial, path)
            shutil.rmtree(old)
        else:
            os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` (which need not exist) for this process.

    The lock is the kernel's, on a hidden file next to the folder: it ends with its process, however that process ends.

    Raises:
        InputError: another process holds it. The line names that process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        holder = path.read_text(encoding="utf-8").strip() or "another process"
        raise InputError(f"{folder} is being written by {holder}: wait for it or choose another --out") from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()
