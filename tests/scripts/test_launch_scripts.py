"""The published scripts: what they pass on, and what they refuse."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

SHOW = '#!/bin/sh\necho "DEVICES=${DEVICES:-} DEVICE_ID=${DEVICE_ID:-} $*"\n'


def script(name: str, *arguments: object, cwd: Path, code: int = 0) -> str:
    """Run a script whose interpreter only shows what it is given; what it printed, errors for a code other than 0."""
    show = cwd / "show"
    show.write_text(SHOW)
    show.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("DEVICES", "DEVICE_ID")}
    done = subprocess.run(
        ["sh", str(ROOT / "scripts" / name), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"PYTHON": str(show)},
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "passed_on"),
    [
        ("run_distribute_train.sh", ("{records}",), "DEVICES=8 DEVICE_ID= {launch} --records {records}"),
        ("run_distribute_train.sh", ("{records}", 4), "DEVICES=4 DEVICE_ID= {launch} --records {records}"),
        ("run_standalone_train.sh", ("{records}",), "DEVICES=1 DEVICE_ID=0 {launch} --records {records}"),
        ("run_standalone_train.sh", ("{records}", 3), "DEVICES=1 DEVICE_ID=3 {launch} --records {records}"),
        ("train_8p.sh", (), "DEVICES=8 DEVICE_ID= {launch}"),
        ("train_8p.sh", ("--epochs", 3), "DEVICES=8 DEVICE_ID= {launch} --epochs 3"),
        ("train_1p.sh", ("some where", "--epochs", 3), "DEVICES=1 DEVICE_ID= {launch} --records some where --epochs 3"),
    ],
)
def test_a_launch_script_passes_on_what_it_is_given(
    name: str, arguments: tuple[object, ...], passed_on: str, records: Path, tmp_path: Path
) -> None:
    given = [str(argument).format(records=records) for argument in arguments]
    said = script(name, *given, cwd=tmp_path)
    assert said == passed_on.format(launch=ROOT / "train/launch.py", records=records) + "\n"


@pytest.mark.parametrize(
    ("name", "more", "usage"),
    [
        ("run_distribute_train.sh", (), "[DATA_PATH] [DEVICE_NUM]"),
        ("run_standalone_train.sh", (), "[DATA_PATH] [DEVICE_ID]"),
        ("run_eval.sh", (0, "last.ckpt"), "[DATA_PATH] [DEVICE_ID] [CKPT_PATH]"),
    ],
)
def test_a_raw_data_set_is_told_the_commands_that_make_a_records_folder_of_it(
    name: str, more: tuple[object, ...], usage: str, ucf: Path, tmp_path: Path
) -> None:
    assert script(name, ucf, *more, cwd=tmp_path, code=2).splitlines() == [
        f"error: {ucf} is a raw data set; these two commands make a records folder of it:",
        f"    python preprocess/extract_frames.py --dataset ucf101 --root {ucf} --out work/frames",
        "    python mindrecord/build.py --frames work/frames --out work/records",
    ]
    assert "no records folder" in script(name, tmp_path, *more, cwd=tmp_path, code=2)
    assert script(name, cwd=tmp_path, code=2) == f"usage: sh scripts/{name} {usage}\n"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("video/run;split/run_test_split1.txt", "--dataset hmdb51"),
        ("video/run", "--dataset folder"),
        ("train;val", "python mindrecord/build.py --dataset imagenet"),
    ],
)
def test_which_data_set_it_is_is_told_by_its_files(made: str, says: str, tmp_path: Path) -> None:
    for path in made.split(";"):
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".txt"):
            (tmp_path / "data" / path).touch()
        else:
            (tmp_path / "data" / path).mkdir()
    assert says in script("run_standalone_train.sh", tmp_path / "data", cwd=tmp_path, code=2)
