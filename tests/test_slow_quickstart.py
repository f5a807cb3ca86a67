"""The long proofs: what the quickstart's recipe reaches, and that it is time it learns from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Run

from preprocess import ledger
from preprocess.frame_store import FRAME_NAME

pytestmark = pytest.mark.slow
OPPOSITES = [("MoveLeft", "MoveRight"), ("MoveUp", "MoveDown"), ("SizeGrow", "SizeShrink")]
OPPOSITES.append(("TurnClockwise", "TurnCounterClockwise"))


def train_and_evaluate(run: Run, frames: Path, folder: Path) -> dict[str, Any]:
    """Pack, train by the quick recipe and evaluate; returns results.json."""
    records, out = folder / "records", folder / "run"
    run("mindrecord/build.py", "--frames", frames, "--out", records)
    run("train/train.py", "--recipe", ROOT / "train/recipes/quick_cpu.yaml", "--records", records, "--out", out)
    done = run("eval/evaluate.py", "--records", records, "--checkpoint", out / "last.ckpt")
    print(done.stdout)
    found: dict[str, Any] = json.loads((out / "report/results.json").read_text())
    return found


def shuffle_time(frames: Path, target: Path) -> None:
    """Copy a frames folder with each video's frames in a random order."""
    shutil.copytree(frames, target)
    for entry in ledger.read(frames).values():
        order = np.random.default_rng([0, *entry.name.encode()]).permutation(entry.stored_frames)
        for new, old in enumerate(order, start=1):
            shutil.copy(frames / entry.name / FRAME_NAME.format(old + 1), target / entry.name / FRAME_NAME.format(new))


def test_the_quickstart_learns_the_motions_and_loses_their_direction_without_time(tmp_path: Path, run: Run) -> None:
    copy = tmp_path / "checkout"  # the script works within its own
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "work", "data"))
    (copy / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(["sh", "scripts/quickstart.sh"], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (report,) = copy.glob("work/quickstart/runs/*/report")
    assert str(report / "report.html") in done.stdout
    in_time = json.loads((report / "results.json").read_text())
    assert in_time["videos"] == 168
    assert in_time["top1"] >= 0.9

    shuffle_time(copy / "work/quickstart/frames", tmp_path / "shuffled")
    shuffled = train_and_evaluate(run, tmp_path / "shuffled", tmp_path / "without_time")
    assert shuffled["videos"] == 168
    assert shuffled["top1"] <= 0.6
    names, confusion = shuffled["class_names"], np.array(shuffled["confusion"])
    mistakes = confusion.sum() - confusion.trace()
    opposite = sum(
        confusion[names.index(a), names.index(b)] + confusion[names.index(b), names.index(a)] for a, b in OPPOSITES
    )
    assert opposite > 0.5 * mistakes  # chance would be one mistake in seven
