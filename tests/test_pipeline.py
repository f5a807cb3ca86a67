"""The four commands in a row, as a user types them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Run, error_line, run_here

FAST = (
    "--recipe",
    ROOT / "train/recipes/quick_cpu.yaml",
    "--epochs",
    1,
    "--schedule.warmup-epochs",
    0,
    "--batch-size",
    3,
    "--clip.size",
    24,
    "--clip.frames",
    8,
    "--model.widen-factor",
    0.125,
)


@pytest.fixture(scope="module")
def trained(records: Path) -> Path:
    """A run folder, by the real command; not to be changed."""
    out = records.parent / "run"
    done = run_here("train/train.py", [*map(str, FAST), "--records", str(records), "--out", str(out)], records.parent)
    assert done.returncode == 0, done.stderr
    return out


def test_a_run_folder_holds_what_it_takes_to_understand_the_run(trained: Path, records: Path) -> None:
    assert sorted(p.name for p in trained.iterdir()) == [
        "config.yaml",
        "curves.svg",
        "last.ckpt",
        "metrics.jsonl",
        "provenance.json",
    ]
    (line,) = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert (line["epoch"], line["step"]) == (1, 2)
    assert 0 <= line["data_wait"] <= 1
    assert "widen_factor: 0.125" in (trained / "config.yaml").read_text()
    written = json.loads((trained / "provenance.json").read_text())
    assert written["records"] == str(records)
    assert written["device"] == "CPU"
    assert "rank_0" not in {p.name for p in records.parent.iterdir()}


def test_the_resolved_config_is_a_recipe_that_trains_the_same_network_from_processes_too(
    trained: Path, records: Path, tmp_path: Path, run: Run
) -> None:
    options = ("--recipe", trained / "config.yaml", "--records", records, "--loader", "processes")
    run("train/train.py", *options, "--out", tmp_path / "again")
    losses = [json.loads((folder / "metrics.jsonl").read_text())["loss"] for folder in (trained, tmp_path / "again")]
    assert losses[0] == losses[1]


def test_evaluation_scores_every_test_video_and_writes_the_report(
    trained: Path, records: Path, tmp_path: Path, run: Run
) -> None:
    done = run(
        "eval/evaluate.py",
        "--records",
        records,
        "--checkpoint",
        trained / "last.ckpt",
        "--out",
        tmp_path / "report",
        "--split",
        2,
    )
    found = json.loads((tmp_path / "report/results.json").read_text())
    assert (found["videos"], found["clips"], found["split"]) == (2, 6, "2")
    assert f"top-1 {found['top1']:.1%} of 2 videos" in done.stdout
    again = run(
        "eval/evaluate.py",
        "--records",
        records,
        "--checkpoint",
        trained / "last.ckpt",
        "--out",
        tmp_path / "second",
        "--split",
        2,
        "--batch-size",
        5,
    )
    assert "top-1" in again.stdout
    assert (tmp_path / "second/per_video.csv").read_text() == (tmp_path / "report/per_video.csv").read_text()


def test_the_commands_chain_with_no_arguments_over_data_and_work(ucf: Path, tmp_path: Path, run: Run) -> None:
    shutil.copytree(ucf, tmp_path / "data/UCF101")
    assert "ucf101 at data/UCF101 -> work/frames" in run("preprocess/extract_frames.py", new_process=True).stdout
    assert "work/frames -> work/records" in run("mindrecord/build.py", new_process=True).stdout
    done = run("train/train.py", *FAST, new_process=True)
    assert "of work/records -> work/runs/quick_cpu-" in done.stdout
    done = run("eval/evaluate.py", new_process=True)
    assert "last.ckpt on the test videos of split 1 of work/records" in done.stdout
    assert len(list(tmp_path.glob("work/runs/quick_cpu-*/report/report.html"))) == 1


def test_the_commands_run_as_modules_too(ucf: Path, tmp_path: Path) -> None:
    for module in ("preprocess.extract_frames", "mindrecord.build"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "--out" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--records", "nowhere"), "nowhere is not a records folder"),
        (("--recipe", "quick.yaml"), "recipe quick.yaml does not exist; did you mean quick_cpu?"),
        (("--split", "9"), "--split 9 is not in these records: they have 1, 2, 3"),
        (("--batch-size", "99"), "has 6 training videos, a batch is 99"),
        (("--model.depth", "11"), "resnet3d has no depth 11"),
        (("--clip.flip", "2"), "clip.flip is 2.0, expected 0 to 1"),
        (("--clip.sise", "2"), "--clip.sise"),
    ],
)
def test_a_mistake_in_training_gets_one_line_and_no_run_folder(
    arguments: tuple[str, ...], says: str, records: Path, tmp_path: Path, run: Run
) -> None:
    start = () if "--recipe" in arguments else FAST
    where = () if "--records" in arguments else ("--records", records)
    done = run("train/train.py", *start, *where, "--out", tmp_path / "run", *arguments, code=2)
    assert says in error_line(done)
    assert not (tmp_path / "run").exists()


def test_a_run_never_writes_over_another(trained: Path, records: Path, run: Run) -> None:
    before = (trained / "last.ckpt").read_bytes()
    done = run("train/train.py", *FAST, "--records", records, "--out", trained, code=2)
    assert "run is not empty: choose another --out" in error_line(done)
    assert (trained / "last.ckpt").read_bytes() == before


def test_a_rate_that_makes_the_loss_infinite_stops_with_the_step(records: Path, tmp_path: Path, run: Run) -> None:
    done = run(
        "train/train.py",
        *FAST,
        "--records",
        records,
        "--out",
        tmp_path / "run",
        "--optimizer.name",
        "sgd",
        "--schedule.learning-rate",
        "1e30",
        "--epochs",
        3,
        code=2,
    )
    # nan in the loss where the epoch has more steps, else in the weights before they are saved
    assert re.search(r"(the loss is \S+|is not finite) at step \d+ \(epoch \d\), learning rate", error_line(done))
    assert re.search(r"the batch: (Alpha|Beta)/v_\w+", done.stderr)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("class_names", ["Alpha", "Beta", "Gamma"]), "2 and 3; only the records: 'Gamma'"),
        (("class_names", ["Alpha", "Gamma"]), "only the checkpoint: 'Beta'; only the records: 'Gamma'"),
        (("schema", 0), "has schema 0, this version reads 2 and 3"),
        (
            ("absent", [{"class_name": "Beta", "video_id": "v9", "flags": [2, 1, 1], "status": "missing"}]),
            "1 listed test videos of split 1 are not in",
        ),
    ],
)
def test_a_checkpoint_and_records_that_do_not_fit_are_refused(
    change: tuple[str, object], says: str, trained: Path, pack: Path, tmp_path: Path, run: Run
) -> None:
    value = json.loads((pack / "manifest.json").read_text())
    value[change[0]] = change[1]
    (pack / "manifest.json").write_text(json.dumps(value))
    done = run(
        "eval/evaluate.py",
        "--records",
        pack,
        "--checkpoint",
        trained / "last.ckpt",
        "--out",
        tmp_path / "report",
        code=2,
    )
    assert says in error_line(done)
    assert not (tmp_path / "report").exists()
    if change[0] == "absent":
        done = run(
            "eval/evaluate.py",
            "--records",
            pack,
            "--checkpoint",
            trained / "last.ckpt",
            "--out",
            tmp_path / "report",
            "--allow-missing",
        )
        assert "of 2 videos (95 % interval" in done.stdout
        assert "1 listed videos are missing and not counted" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--checkpoint", "none.ckpt"), "checkpoint none.ckpt does not exist"),
        ((), "there is no checkpoint under work/runs"),
        (("--batch-size", "0"), "--batch-size 0 is not 1 or more"),
    ],
)
def test_a_mistake_in_evaluation_gets_one_line(arguments: tuple[str, ...], says: str, records: Path, run: Run) -> None:
    assert says in error_line(run("eval/evaluate.py", "--records", records, *arguments, code=2))


@pytest.mark.slow
def test_the_ucf101_recipe_starts(records: Path, tmp_path: Path, run: Run) -> None:
    done = run(
        "train/train.py",
        "--recipe",
        ROOT / "train/recipes/ucf101_r3d50.yaml",
        "--records",
        records,
        "--out",
        tmp_path / "run",
        "--batch-size",
        2,
        "--epochs",
        1,
    )
    assert "46,203,074 parameters" in done.stdout
    assert (tmp_path / "run/last.ckpt").is_file()
