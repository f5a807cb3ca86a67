from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, make_ucf


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


@pytest.mark.slow  # a minute and a half; tests/test_pipeline.py takes AVIs to a report in every run
def test_the_quickstart_goes_from_someones_avis_to_a_table_and_reuses_its_work(tmp_path: Path) -> None:
    data = tmp_path / f"mini-{os.getpid()}"
    make_ucf(data, groups=12)
    (data / "video/Alpha/v_Alpha_g01_c01.avi").unlink()
    work = ROOT / f"work/quickstart-{data.name}"
    try:
        first = shell(ROOT / "scripts/quickstart.sh", data.name, "ucf101", cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        table = dict(line.split(maxsplit=1) for line in first.stdout[first.stdout.index("videos  ") :].splitlines())
        assert table["videos"] == "23 ok, 0 failed, 1 missing of 24 listed"
        assert table["frames"] == str(sum(20 + group for group in range(1, 13)) * 2 - 21)
        assert table["top-1"].endswith("of 1 test videos, 1 missing")
        assert Path(table["report"]).is_file()
        frames = {path: path.stat().st_mtime_ns for path in work.glob("frames/*/*/*.jpg")}
        second = shell(ROOT / "scripts/quickstart.sh", data.name, "ucf101", cwd=tmp_path)
        assert second.returncode == 0, second.stderr
        assert "already holds these frames; nothing to do" in second.stdout
        assert {path: path.stat().st_mtime_ns for path in work.glob("frames/*/*/*.jpg")} == frames
        assert len(list(work.glob("runs/*/report/report.html"))) == 2
    finally:
        shutil.rmtree(work, ignore_errors=True)


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
