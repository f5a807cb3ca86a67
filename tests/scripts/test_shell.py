from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT


def shell(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("only_one",), "usage: sh scripts/quickstart.sh [PATH ucf101|hmdb51]"),
        (("nowhere", "ucf101"), "error: nowhere does not exist"),
    ],
)
def test_the_quickstart_refuses_wrong_arguments_with_one_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = shell(ROOT / "scripts/quickstart.sh", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().startswith(says)
    assert len(done.stderr.splitlines()) == 1


def test_setup_without_a_usable_python_says_so(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup.sh", tmp_path / "scripts")
    done = shell(tmp_path / "scripts/setup.sh", "requirements.lock", cwd=tmp_path, PYTHON="false")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Python 3.11 or 3.12 found")
    assert not (tmp_path / ".venv").exists()


def test_setup_installs_what_the_lock_says_once(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup.sh", tmp_path / "scripts")
    (tmp_path / "empty.lock").write_text("# nothing\n")
    first = shell(tmp_path / "scripts/setup.sh", "empty.lock", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "installing empty.lock" in first.stdout
    assert (tmp_path / ".venv/bin/python").exists()
    assert shell(tmp_path / "scripts/setup.sh", "empty.lock", cwd=tmp_path).stdout == ""
    (tmp_path / "empty.lock").write_text("# nothing, but changed\n")
    assert "installing empty.lock" in shell(tmp_path / "scripts/setup.sh", "empty.lock", cwd=tmp_path).stdout
