"""Fetch UCF101 or HMDB51 from their makers and unpack them as preprocess/extract_frames.py reads them.

    python scripts/download.py ucf101 --root data/UCF101
    python scripts/download.py hmdb51 --root data/HMDB51

Run it again to resume after an interruption: a file continues where it stopped, and what is there is left as it is. The
archives stay in ROOT/download, with the SHA-256 of each next to it. Nothing is ever deleted. For .rar files one of the
programs bsdtar, unrar, 7z or unar is needed.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urljoin

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import tyro

from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import Meter, say

CHUNK_BYTES = 2**20
TIMEOUT_S = 60
TRIES = 5  # in a row, that bring nothing
WAIT_S = 2.0
RAR_MAGIC = b"Rar!\x1a\x07"
UNPACKERS = {  # program -> how it unpacks an archive into a folder, over what an interrupted run left there
    "bsdtar": ("-x", "-f", "{archive}", "-C", "{folder}"),
    "unrar": ("x", "-o+", "-inul", "{archive}", "{folder}/"),
    "7z": ("x", "-y", "-bd", "-o{folder}", "{archive}"),
    "unar": ("-q", "-f", "-D", "-o", "{folder}", "{archive}"),
}


@dataclass(frozen=True)
class Archive:
    """A file that a data set consists of; `goes_to`, the folder it becomes; `sha256` where it is known."""

    url: str
    goes_to: str
    sha256: str = ""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


UCF101_SITE = "https://www.crcv.ucf.edu/data/UCF101/"
HMDB51_SITE = "http://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/"
ARCHIVES = {
    "ucf101": (
        Archive(
            f"{UCF101_SITE}UCF101TrainTestSplits-RecognitionTask.zip",
            "split",
            # as tensorflow/datasets has it, 113,943 bytes
            "5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",
        ),
        Archive(f"{UCF101_SITE}UCF101.rar", "video"),
    ),
    "hmdb51": (
        Archive(f"{HMDB51_SITE}test_train_splits.rar", "split"),
        Archive(f"{HMDB51_SITE}hmdb51_org.rar", "video"),
    ),
}


@dataclass(frozen=True)
class Options:
    """Fetch a data set and unpack it."""

    dataset: Annotated[Literal["ucf101", "hmdb51"], tyro.conf.Positional]
    """Which."""
    root: Path | None = None
    """Where to; by default data/UCF101 or data/HMDB51."""
    mirror: str = ""
    """The address of a folder that holds the same files, ending with a slash; by default their makers' sites."""


def main(options: Options) -> int:
    if options.mirror and not re.fullmatch(r"https?://.+/", options.mirror):
        raise InputError(f"--mirror {options.mirror} is no folder's address, such as http://example.org/videos/")
    root = options.root or Path("data") / options.dataset.upper()
    downloads = root / "download"
    downloads.mkdir(parents=True, exist_ok=True)
    with files.locked(downloads):
        for archive in ARCHIVES[options.dataset]:
            target = root / archive.goes_to
            if target.exists():
                say(f"{target} is there already; it is left as it is")
                continue
            path = downloads / archive.name
            if not path.exists():
                fetch(urljoin(options.mirror, archive.name) if options.mirror else archive.url, path)
            check(path, archive.sha256)
            say(f"unpacking {path}")
            unpack(path, downloads / f"{path.stem}.unpacked")
            os.rename(content_of(downloads / f"{path.stem}.unpacked"), target)
    say(f"{root} is complete; next: python preprocess/extract_frames.py --dataset {options.dataset} --root {root}")
    return 0


def fetch(url: str, path: Path) -> None:
    """Download a file, from where an earlier try stopped; it gets its name when it is complete.

    Raises:
        InputError: the server does not give it.
    """
    partial = path.with_name(f"{path.name}.part")
    tries = 0
    while tries < TRIES:
        before = size_of(partial)
        try:
            if download(url, partial):
                os.rename(partial, path)
                return
        except (OSError, http.client.HTTPException) as error:
            code = getattr(error, "code", None)
            if code and code < 500:
                raise InputError(f"{url} cannot be fetched ({error}): look at the address, or name a --mirror") from None
            say(str(error))
        if size_of(partial) > before:
            tries = 0
        else:
            tries += 1
            time.sleep(WAIT_S)
        say(f"{url} broke off after {size_of(partial):,} bytes; resuming there")
    raise InputError(f"{url} gave nothing {TRIES} times: run again to resume, or name a --mirror")


def size_of(partial: Path) -> int:
    """Bytes that are there."""
    return partial.stat().st_size if partial.exists() else 0


def download(url: str, partial: Path) -> bool:
    """Add to `partial` what is missing of the file; returns whether it is complete then."""
    have = size_of(partial)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left of it
            return error.headers.get("Content-Range", "").endswith(f"/{have}")
        raise
    with response:
        begins = re.match(rf"bytes {have}-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if have and not begins:
            raise InputError(
                f"{url}: its server cannot resume {partial}: move that away to fetch the whole file, or name a --mirror"
            )
        total = int(begins[1] if begins else response.headers.get("Content-Length", 0))
        say(f"fetching {url}, {total - have:,} of {total:,} bytes")
        meter = Meter(-(-(total - have) // CHUNK_BYTES), "MiB")
        with partial.open("ab") as stream:
            while chunk := response.read(CHUNK_BYTES):
                stream.write(chunk)
                meter.advance()
        meter.close()
    return size_of(partial) >= total


def check(path: Path, known: str) -> None:
    """Compare a file with the SHA-256 that is known of it, or that was found when it was first fetched, and else note that.

    Raises:
        InputError: they differ.
    """
    noted = path.with_name(f"{path.name}.sha256")
    found = files.sha256(path)
    expected = known or (noted.read_text(encoding="ascii").split()[0] if noted.exists() else found)
    if found != expected:
        raise InputError(f"{path} has SHA-256 {found}, expected {expected}: move it away and run again to fetch it")
    if not noted.exists():
        files.write_text(noted, f"{found}  {path.name}\n")
    say(f"{path} has SHA-256 {found}{', as expected' if known else ''}")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .zip or .rar, whatever its name says, into a folder, and archives within it into folders of their names.

    Raises:
        InputError: it is damaged, or no program here can unpack it.
    """
    folder.mkdir(exist_ok=True)
    if zipfile.is_zipfile(archive):
        try:
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(folder)
        except zipfile.BadZipFile as error:
            raise InputError(f"{archive} cannot be unpacked ({error}): move it away and run again") from None
    else:
        with archive.open("rb") as stream:
            if not stream.read(len(RAR_MAGIC)).startswith(RAR_MAGIC):
                raise InputError(f"{archive} is neither .zip nor .rar: the server gave something else, move it away")
        program = next((name for name in UNPACKERS if shutil.which(name)), None)
        if program is None:
            raise InputError(
                f"{archive} is a .rar, which needs one of the programs {', '.join(UNPACKERS)}: "
                "on Debian, apt-get install libarchive-tools"
            )
        arguments = [argument.format(archive=archive, folder=folder) for argument in UNPACKERS[program]]
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[-200:]
            raise InputError(f"{program} cannot unpack {archive} ({said}): move it away and run again to fetch it")
    for inner in sorted(path for path in folder.iterdir() if path.suffix in (".rar", ".zip")):
        unpack_class(inner, folder / "classes")


def unpack_class(archive: Path, folder: Path) -> None:
    """Unpack one of HMDB51's archives within the archive, a class each, into `folder`/<class>."""
    folder.mkdir(exist_ok=True)
    if not (folder / archive.stem).exists():
        unpack(archive, folder.parent / f"{archive.stem}.unpacked")
        os.rename(content_of(folder.parent / f"{archive.stem}.unpacked"), folder / archive.stem)


def content_of(folder: Path) -> Path:
    """The folder with the files: what was unpacked, the folders around it taken off."""
    if (folder / "classes").is_dir():
        return folder / "classes"
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


if __name__ == "__main__":
    cli.run(main, Options)
