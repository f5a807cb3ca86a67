from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line

COMMAND = "preprocess/verify.py"
VIDEO = "Beta/v_Beta_g01_c01"


def test_a_whole_frames_folder_is_as_its_ledger_says(frames: Path, run: Run) -> None:
    assert "8 videos and 180 frames are as the ledger says" in run(COMMAND, frames).stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / VIDEO / "image_00003.jpg").unlink(), "image_00003.jpg is missing"),
        (lambda f: (f / VIDEO / "image_00003.jpg").write_bytes(b"x"), "frame 3 does not decode"),
        (lambda f: shutil.copy(f / VIDEO / "image_00002.jpg", f / VIDEO / "image_00003.jpg"), "has other bytes"),
        (
            lambda f: shutil.copy(f / VIDEO / "image_00002.jpg", f / VIDEO / "image_00099.jpg"),
            "holds more files than its 21",
        ),
        (lambda f: shutil.copytree(f / VIDEO, f / "Beta/stranger"), "Beta/stranger is no folder of a video"),
        (lambda f: shutil.rmtree(f / VIDEO), "image_00001.jpg is missing"),
        (lambda f: (shutil.rmtree(f / VIDEO), (f / VIDEO).touch()), "image_00001.jpg is missing"),
        (lambda f: (f / "ledger.jsonl").write_text(""), "is in no line of the ledger"),
    ],
)
def test_every_kind_of_damage_is_named(
    change: Callable[[Path], object], says: str, frames: Path, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(frames, tmp_path / "f")
    change(tmp_path / "f")
    done = run(COMMAND, tmp_path / "f", code=2)
    assert says in done.stdout
    assert "problems in" in error_line(done)


def test_flipped_bits_in_a_zip_are_noticed(ucf: Path, tmp_path: Path, run: Run) -> None:
    run("preprocess/extract_frames.py", "--root", ucf, "--out", tmp_path / "f", "--layout", "zip")
    run(COMMAND, tmp_path / "f")
    path = tmp_path / "f" / f"{VIDEO}.zip"
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        data_end = archive.start_dir
    for position in np.random.default_rng(0).integers(100, data_end, 3):
        damaged = bytearray(whole)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        assert f"{VIDEO}.zip" in run(COMMAND, tmp_path / "f", code=2).stdout


def test_fewer_workers_than_none_are_refused(frames: Path, run: Run) -> None:
    assert "--workers -1 is not 0 or more" in error_line(run(COMMAND, frames, "--workers", -1, code=2))


def test_what_is_no_frames_folder_is_refused(tmp_path: Path, run: Run) -> None:
    assert "is not a frames folder" in error_line(run(COMMAND, tmp_path, code=2))
    (tmp_path / "catalog.json").write_text(json.dumps({"schema": 99}))
    assert "has schema 99" in error_line(run(COMMAND, tmp_path, code=2))
