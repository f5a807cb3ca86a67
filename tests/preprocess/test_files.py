from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

from preprocess import catalog, ledger
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.journal import Journal


def test_a_file_written_by_rename_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with files.by_rename(path) as partial:
        partial.write_text("first")
        assert not path.exists()
        assert (partial.parent, partial.suffix) == (path.parent, path.suffix)

    def break_off() -> None:
        with files.by_rename(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.npz", "first")]


@pytest.mark.parametrize(
    ("text", "whole", "lines"),
    [
        ('"a"\n"b"\n', '"a"\n"b"\n', ["a", "b"]),
        ('"a"\n"b', '"a"\n', ["a"]),
        ('"a\u2028b"\n"c"\n', '"a\u2028b"\n"c"\n', ["a\u2028b", "c"]),
        ('"half"', "", []),
        ("", "", []),
    ],
)
def test_a_journal_skips_a_last_line_that_was_cut_off_and_removes_it_before_the_next(
    tmp_path: Path, text: str, whole: str, lines: list[str]
) -> None:
    path = tmp_path / "lines"
    path.write_text(text, encoding="utf-8")
    journal = Journal(path, str, str)
    assert journal.read() == lines
    assert path.read_text(encoding="utf-8") == text
    journal.append("next")
    assert path.read_text(encoding="utf-8") == whole + '"next"\n'
    assert journal.read() == [*lines, "next"]
    assert Journal(tmp_path / "none", str, str).read() == []


@dataclass(frozen=True)
class NoOptions:
    """None."""


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "make room or choose another --out"),
        (errno.EACCES, "change who may read and write it, or name another path"),
        (errno.ENOTDIR, "a file stands where a folder belongs"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
    ],
)
def test_what_the_disk_refuses_is_one_line_with_its_own_remedy(
    number: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: NoOptions) -> int:
        raise OSError(number, os.strerror(number), "some/path")

    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(SystemExit) as stop:
        cli.run(refused, NoOptions)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: some/path: {os.strerror(number)}: {says}")


def said_to_nobody(*arguments: str | Path) -> tuple[int, str]:
    """Run Python with a standard output that nobody reads; returns its code and its errors."""
    command = [sys.executable, *map(str, arguments)]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=buffered, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    return process.returncode, said


def test_a_command_ends_quietly_when_nobody_reads_its_output() -> None:
    assert said_to_nobody("preprocess/extract_frames.py", "--help") == (128 + signal.SIGPIPE, "")


def test_a_mistake_is_said_even_when_nobody_reads_the_output() -> None:
    mistaken = "from preprocess.common import cli; print('something'); cli.fail('some mistake')"
    assert said_to_nobody("-c", mistaken) == (2, "error: some mistake\n")


@pytest.mark.parametrize("text", ["[1]", '{"schema": 1}', '{"schema": 2}', '{"schema": 2, "videos": [3]}', "{"])
def test_a_damaged_catalog_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "catalog.json").write_text(text)
    with pytest.raises(InputError, match=r"catalog\.json"):
        catalog.load(tmp_path)


@pytest.mark.parametrize("line", [b"{", b"3", b"[]", b'{"class_name": "\xff"}', b'{"other": 1}'])
def test_a_damaged_line_of_the_ledger_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"ledger\.jsonl, line 1 is damaged: delete that line"):
        ledger.read(tmp_path)
