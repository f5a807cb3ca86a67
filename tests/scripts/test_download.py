"""Data sets fetched from a server on loopback that breaks off."""

from __future__ import annotations

import http.server
import io
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from preprocess.common.errors import InputError
from scripts import download
from scripts.download import Options


def zipped(files: dict[str, bytes]) -> bytes:
    """A .zip in memory, stored."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


class Site(http.server.BaseHTTPRequestHandler):
    """Serves `files`, and breaks each off `breaks` times, half way through what was asked for."""

    address: str
    files: dict[str, bytes]
    breaks: dict[str, int]
    asked: list[tuple[str, int]]
    ranges = True

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name not in self.files:
            self.send_error(404)
            return
        data = self.files[name]
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted and self.ranges else 0
        self.asked.append((name, first))
        if wanted and first >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if self.breaks.get(name, 0):
            self.breaks[name] -= 1
            self.wfile.write(data[first : (first + len(data)) // 2])
        else:
            self.wfile.write(data[first:])

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def site() -> Iterator[type[Site]]:
    """A server on loopback; `address` is where it is. It ends with the test."""
    handler = type("OneSite", (Site,), {"files": {}, "breaks": {}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.address = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


HMDB51 = {"run": {"( ) a!.avi": b"a" * 70_000, "-b.avi": b"b"}, "swing_baseball": {"c.avi": b"c"}}
LISTS = {"testTrainMulti_7030_splits/run_test_split1.txt": b"( ) a!.avi 1 \n"}


def hmdb51(site: type[Site]) -> None:
    """HMDB51's two archives: the classes are archives within the archive. (Zips: nothing here writes a .rar.)"""
    classes = {
        f"{name}.rar": zipped({f"{name}/{file}": data for file, data in held.items()}) for name, held in HMDB51.items()
    }
    site.files |= {"test_train_splits.rar": zipped(LISTS), "hmdb51_org.rar": zipped(classes)}


def videos(root: Path) -> dict[str, dict[str, bytes]]:
    return {folder.name: {p.name: p.read_bytes() for p in folder.iterdir()} for folder in (root / "video").iterdir()}


def test_hmdb51_is_fetched_in_spite_of_breaks_and_unpacked_archive_by_archive(
    site: type[Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hmdb51(site)
    site.breaks["hmdb51_org.rar"] = 2
    options = Options("hmdb51", tmp_path, site.address)
    assert download.main(options) == 0
    assert videos(tmp_path) == HMDB51
    assert (tmp_path / "split/run_test_split1.txt").read_bytes() == b"( ) a!.avi 1 \n"
    size = len(site.files["hmdb51_org.rar"])
    firsts = [first for name, first in site.asked if name == "hmdb51_org.rar"]
    assert firsts == [0, size // 2, (size // 2 + size) // 2]
    archive = tmp_path / "download/hmdb51_org.rar"
    assert archive.read_bytes() == site.files["hmdb51_org.rar"]  # kept
    assert f"{download.files.sha256(archive)}  hmdb51_org.rar\n" == archive.with_suffix(".rar.sha256").read_text()
    asked = len(site.asked)
    assert download.main(options) == 0
    assert len(site.asked) == asked
    assert "video is there already; it is left as it is" in capsys.readouterr().out


def test_a_run_goes_on_with_what_the_one_before_left(site: type[Site], tmp_path: Path) -> None:
    hmdb51(site)
    (tmp_path / "download").mkdir()
    (tmp_path / "download/hmdb51_org.rar.part").write_bytes(site.files["hmdb51_org.rar"][:1000])
    (tmp_path / "download/test_train_splits.rar.part").write_bytes(site.files["test_train_splits.rar"])  # whole
    (tmp_path / "download/hmdb51_org.unpacked/run.unpacked/run").mkdir(parents=True)
    (tmp_path / "download/hmdb51_org.unpacked/run.unpacked/run/-b.avi").write_bytes(b"")
    download.main(Options("hmdb51", tmp_path, site.address))
    assert site.asked == [("test_train_splits.rar", len(site.files["test_train_splits.rar"])), ("hmdb51_org.rar", 1000)]
    assert videos(tmp_path) == HMDB51


def test_ucf101_is_checked_against_the_known_checksum(site: type[Site], tmp_path: Path) -> None:
    site.files["UCF101TrainTestSplits-RecognitionTask.zip"] = zipped({"ucfTrainTestlist/classInd.txt": b"1 A\r\n"})
    with pytest.raises(InputError, match=r"UCF101TrainTestSplits-RecognitionTask.zip has SHA-256 .*, expected 5c0d1a53"):
        download.main(Options("ucf101", tmp_path, site.address))
    assert not (tmp_path / "split").exists()
    assert (tmp_path / "download/UCF101TrainTestSplits-RecognitionTask.zip").exists()  # for its owner to judge


def test_a_file_that_changed_since_it_was_fetched_is_refused(site: type[Site], tmp_path: Path) -> None:
    path = tmp_path / "a.rar"
    path.write_bytes(b"one")
    download.check(path, "")
    path.write_bytes(b"two")
    with pytest.raises(InputError, match="move it away and run again"):
        download.check(path, "")


def test_a_mirror_that_is_no_folders_address_is_refused(tmp_path: Path) -> None:
    for mirror in ("example.org", "http://example.org"):
        with pytest.raises(InputError, match=f"--mirror {mirror} is no folder's address"):
            download.main(download.Options("ucf101", tmp_path / "data", mirror))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ranges", "name", "says"),
    [(True, "none.rar", "none.rar cannot be fetched .HTTP Error 404"), (False, "a.rar", "its server cannot resume")],
)
def test_a_server_that_does_not_help_is_named(ranges: bool, name: str, says: str, site: type[Site], tmp_path: Path) -> None:
    site.files["a.rar"] = b"abc"
    site.ranges = ranges
    (tmp_path / "a.rar.part").write_bytes(b"a")
    with pytest.raises(InputError, match=says):
        download.fetch(site.address + name, tmp_path / name)
    assert (tmp_path / "a.rar.part").read_bytes() == b"a"


def test_a_file_that_no_longer_comes_is_given_up_and_kept(
    site: type[Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["a.rar"] = bytes(1000)
    site.breaks["a.rar"] = 100
    monkeypatch.setattr(download, "WAIT_S", 0)
    with pytest.raises(InputError, match="gave nothing 5 times: run again to resume"):
        download.fetch(site.address + "a.rar", tmp_path / "a.rar")
    assert (tmp_path / "a.rar.part").stat().st_size == 999


def test_a_rar_goes_to_a_program_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "a.rar"
    archive.write_bytes(download.RAR_MAGIC + b"...")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(
        InputError, match="one of the programs bsdtar, unrar, 7z, unar: on Debian, apt-get install libarchive"
    ):
        download.unpack(archive, tmp_path / "out")
    program = tmp_path / "bin/unrar"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho \"$@\" > '{tmp_path}/given'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    download.unpack(archive, tmp_path / "out")
    assert (tmp_path / "given").read_text() == f"x -o+ -inul {archive} {tmp_path / 'out'}/\n"
    program.write_text("#!/bin/sh\necho 'checksum error' >&2; exit 3\n")
    with pytest.raises(InputError, match=r"unrar cannot unpack .*checksum error"):
        download.unpack(archive, tmp_path / "out")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"<html>Not here</html>")
    with pytest.raises(InputError, match=r"neither .zip nor .rar: the server gave something else"):
        download.unpack(tmp_path / "a.rar", tmp_path / "out")
