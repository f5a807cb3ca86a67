from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Run, error_line

from preprocess.common import files
from scripts import accept
from scripts.accept import FAILED, PASSED, Acceptance, Figure, Options, Part
from train.devices import ASCEND_DRIVER


@pytest.fixture
def acceptance(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acceptance:
    monkeypatch.setenv("DEVICES", "2")
    (tmp_path / "out").mkdir()
    return Acceptance(Options(records=records, out=tmp_path / "out"))


@pytest.mark.parametrize(("apart", "state"), [(0.0, PASSED), (0.1, PASSED), (0.11, FAILED), (math.nan, FAILED)])
def test_a_part_fails_by_what_is_too_far_apart_or_no_number(apart: float, state: str) -> None:
    part = Part(name="any")
    part.compare(Figure(name="weights", apart=apart, allowed=0.1, of="their norm"))
    assert part.state == state


def test_a_device_that_computes_something_else_is_found_out(acceptance: Acceptance, monkeypatch: pytest.MonkeyPatch) -> None:
    """By arrays as float16 makes them, and by some that are further away than that."""
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(2, 5, 5)).astype(np.float32)
    expected = {
        "before.fc.weight": before, "fc.weight": after, "before.bn.moving_mean": before, "bn.moving_mean": after,
        "losses": np.array([2.0, 1.0]),
    }  # fmt: skip
    half = expected | {"fc.weight": after + 0.01, "bn.moving_mean": after - 0.01, "losses": np.array([2.0, 1.01])}
    for factor, state in ((2.9, PASSED), (3.6, FAILED)):
        found = {name: value + factor * (half[name] - value) for name, value in expected.items()}
        given = iter([expected, half, found])
        monkeypatch.setattr(Acceptance, "arrays", lambda *_, given=given: next(given))
        monkeypatch.setattr(acceptance, "level", "O2")
        part = Part(name="steps")
        acceptance.steps(part)
        assert part.state == state
        assert [figure.name for figure in part.figures] == ["losses", "weights", "running statistics"]


def test_a_part_whose_command_fails_says_why_and_the_page_shows_it(acceptance: Acceptance) -> None:
    with pytest.raises(accept.PartFailedError, match=r"train/doctor.py ended with 2 .*see .*x\.log"):
        acceptance.command("x", "train/doctor.py", "--records", acceptance.folder / "none")
    failed = Part(name="Speed <&>", state=FAILED, text="why", figures=[Figure(name="w", apart=2.0, allowed=1.0, of="x")])
    accept.write(acceptance, [Part(name="Doctor", lines=["ok"]), failed])
    page = (acceptance.folder / "acceptance.html").read_text()
    assert "<h1>Acceptance on CPU: failed</h1>" in page
    assert "Speed &lt;&amp;&gt;" in page
    assert 'class="number bad"' in page
    assert "http" not in page.replace("http-equiv", "")
    assert not files.read_json(acceptance.folder / "acceptance.json")["passed"]


def test_a_folder_with_something_else_is_not_replaced(records: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    done = run("scripts/accept.py", "--records", records, "--out", tmp_path / "mine", code=2)
    assert "mine" in done.stderr
    assert (tmp_path / "mine/thesis.txt").is_file()


def test_without_cann_ascend_is_refused_in_one_line(
    records: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ASCEND_DRIVER.exists():
        pytest.skip("here is an Ascend")
    monkeypatch.setenv("DEVICE_TARGET", "Ascend")
    done = run("scripts/accept.py", "--records", records, "--out", tmp_path / "out", code=2)
    assert error_line(done).startswith("error: MindSpore cannot compute on Ascend (lib")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_whole_acceptance_passes_on_two_cpu_ranks(tmp_path: Path) -> None:
    def call(*arguments: object) -> None:
        subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True, timeout=900)

    shapes, frames, records, out = (tmp_path / name for name in ("shapes", "frames", "records", "out"))
    call("scripts/make_shapes.py", "--out", shapes, "--groups", 21, "--clips", 1)
    call("preprocess/extract_frames.py", "--dataset", "ucf101", "--root", shapes, "--out", frames, "--short-side", 64)
    call("mindrecord/build.py", "--frames", frames, "--out", records)
    environment = os.environ | {"DEVICE_TARGET": "CPU", "DEVICES": "2", "PYTHON": sys.executable}
    command = ["sh", str(ROOT / "scripts/accept.sh"), str(records), "--out", str(out)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((out / "acceptance.json").read_text())
    states = {part["name"]: part["state"] for part in found["parts"]}
    assert states.pop("Sunk and fed") == "left out"
    assert set(states.values()) == {"passed"}
    assert len(states) == 7
    assert "the weights are the same to the bit" in (out / "acceptance.html").read_text()
