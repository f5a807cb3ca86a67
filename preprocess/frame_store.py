"""Where a video's JPEGs are: a folder of files, or one stored zip with the same names inside. Both appear by rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from preprocess.common.errors import InputError

FRAME_NAME = "image_{:05d}.jpg"  # 1-based, as the field's tools expect
FOLDER, ZIP = "dir", "zip"
LAYOUTS = (FOLDER, ZIP)
T = TypeVar("T")
Writer = Callable[[int, bytes], None]  # of a frame's number and its JPEG


def target(frames: Path, class_name: str, video_id: str, layout: str) -> Path:
    """The folder, or the zip file, that holds a video's frames."""
    return frames / class_name / (f"{video_id}.zip" if layout == ZIP else video_id)


def partial_path(path: Path) -> Path:
    """Where a video's frames are until they are complete."""
    return path.with_name(f".{path.name}.partial")


def remove(path: Path) -> None:
    """Delete a video's frames, in either layout, if they exist."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def frame_writer(path: Path, layout: str) -> Iterator[Writer]:
    """Yield `write(number, jpeg)`; what was written becomes `path` by one rename, or nothing does when the block raises."""
    partial = partial_path(path)
    partial.parent.mkdir(parents=True, exist_ok=True)
    remove(partial)
    try:
        if layout == ZIP:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:  # its members have zipfile's date, 1980
                yield lambda number, jpeg: archive.writestr(zipfile.ZipInfo(FRAME_NAME.format(number)), jpeg)
        else:
            partial.mkdir()
            with opened_folder(partial) as folder:

                def write_file(number: int, jpeg: bytes) -> None:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                    file = os.open(FRAME_NAME.format(number), flags, 0o666, dir_fd=folder)
                    try:
                        rest = memoryview(jpeg)
                        while rest:  # a disk that fills up takes a part, and refuses the next
                            rest = rest[os.write(file, rest) :]
                    finally:
                        os.close(file)

                yield write_file
        remove(path)
        os.rename(partial, path)
    finally:
        remove(partial)


def read_frames(path: Path, layout: str, count: int) -> list[bytes]:
    """The JPEGs 1 to `count` of a video, in order, from either layout.

    Raises:
        InputError: a frame is not there, or the zip cannot be read. The line names the first.
    """

    def read_file(folder: int, name: str) -> bytes:
        file = os.open(name, os.O_RDONLY, dir_fd=folder)
        try:
            return os.read(file, os.fstat(file).st_size)
        finally:
            os.close(file)

    return map_frames(path, layout, count, zipfile.ZipFile.read, read_file)


def frame_bytes(path: Path, layout: str, count: int) -> list[int]:
    """The size of each of the JPEGs 1 to `count` of a video, from either layout, without reading them.

    Raises:
        InputError: as `read_frames`.
    """
    return map_frames(
        path,
        layout,
        count,
        lambda archive, name: archive.getinfo(name).file_size,
        lambda folder, name: os.stat(name, dir_fd=folder).st_size,
    )


def map_frames(
    path: Path, layout: str, count: int, of_member: Callable[[zipfile.ZipFile, str], T], of_file: Callable[[int, str], T]
) -> list[T]:
    """What is asked of each frame: of its name in an open zip, or in a folder's descriptor."""
    names = [FRAME_NAME.format(number) for number in range(1, count + 1)]
    if layout == ZIP:
        try:
            with zipfile.ZipFile(path) as archive:
                return [of_member(archive, name) for name in names]
        except (FileNotFoundError, IsADirectoryError, KeyError, zipfile.BadZipFile) as error:
            words = " ".join(str(error).split())
            raise InputError(f"{path} does not give its {count} frames: {words}; delete it and extract again") from None
    found: list[T] = []
    try:
        with opened_folder(path) as folder:
            for name in names:
                found.append(of_file(folder, name))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path / names[len(found)]} is missing, the ledger counts {count} frames: delete {path} and run "
            "extract_frames.py again"
        ) from None
    return found


@contextlib.contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """A folder's own descriptor, which spares the kernel a walk through the whole path for every frame."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)
