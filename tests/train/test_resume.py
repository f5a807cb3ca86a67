"""Runs that are killed, stopped or out of room, as a user sees them."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Run, error_line

from train import checkpoint
from train.cluster import free_port

COMMAND = "train/train.py"
EPOCHS = 12
KILLS = 10
SMALL = ["--recipe", str(ROOT / "train/recipes/quick_cpu.yaml"), "--schedule.warmup-epochs", "0", "--batch-size", "2"]
SMALL += ["--clip.size", "24", "--clip.frames", "8", "--model.widen-factor", "0.125"]
LONG = [*SMALL, "--epochs", str(EPOCHS), "--save-every-minutes", "0", "--val-fraction", "0.34", "--validate-every", "3"]


def begin(log: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Train in the background, saying what there is to say into a file."""
    command = [sys.executable, str(ROOT / COMMAND), *map(str, arguments)]
    with log.open("w") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)


def lines(folder: Path) -> list[str]:
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def wait_for_epochs(process: subprocess.Popen[bytes], folder: Path, epochs: int) -> None:
    deadline = time.monotonic() + 120
    while len(lines(folder)) < epochs:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def difference(one: Path, other: Path) -> list[str]:
    """The parameters that two checkpoints have differently, to the bit."""
    (meta, ours, first), (other_meta, theirs, second) = checkpoint.read(one), checkpoint.read(other)
    assert meta == other_meta
    assert ours is not None
    assert theirs is not None
    assert (ours.epoch, ours.step, ours.best_accuracy) == (theirs.epoch, theirs.step, theirs.best_accuracy)
    assert first.keys() == second.keys()
    return [name for name in first if first[name].asnumpy().tobytes() != second[name].asnumpy().tobytes()]


def untimed(folder: Path) -> list[dict[str, object]]:
    """The lines of metrics.jsonl without the times."""
    times = ("seconds", "clips_per_s", "data_wait")
    return [{key: value for key, value in json.loads(line).items() if key not in times} for line in lines(folder)]


def test_a_run_that_was_killed_and_stopped_ends_with_the_bits_of_one_left_alone(
    records: Path, tmp_path: Path, run: Run
) -> None:
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    log = tmp_path / "log"
    undisturbed = begin(tmp_path / "alone.log", *LONG, "--records", records, "--out", alone)
    process = begin(log, *LONG, "--records", records, "--out", disturbed)
    wait_for_epochs(process, disturbed, 3)
    process.kill()
    process.wait()
    said = error_line(run(COMMAND, "--resume", disturbed, "--epochs", 50, "--loader", "processes", code=2))
    assert f"epochs is 50, not {EPOCHS}: --resume keeps the run's own recipe" in said
    done = checkpoint.load_for_resume(disturbed / "last.ckpt")[1]
    process = begin(log, "--resume", disturbed / "last.ckpt", "--tensorboard")
    wait_for_epochs(process, disturbed, done.epoch + 3)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    output = log.read_text()
    assert f"resuming after step {done.epoch * 2 + done.step} of {EPOCHS * 2}" in output
    assert output.endswith(f"stopped by SIGINT and saved; to resume: python train/train.py --resume {disturbed}\n")
    assert undisturbed.wait() == 0
    run(COMMAND, "--resume", disturbed)
    for name in ("last.ckpt", "best.ckpt"):
        assert difference(alone / name, disturbed / name) == []
    assert untimed(alone) == untimed(disturbed)
    assert [line["epoch"] for line in untimed(alone)] == list(range(1, EPOCHS + 1))
    assert list((disturbed / "tensorboard").iterdir())
    assert len(json.loads((disturbed / "provenance.json").read_text())["resumed"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--resume", "nowhere"), "--resume nowhere: nowhere has no config.yaml: name the folder of a run"),
        (("--pretrained", "none.pth"), "none.pth"),
    ],
)
def test_a_mistake_gets_one_line_and_no_run_folder(
    arguments: tuple[str, ...], says: str, records: Path, tmp_path: Path, run: Run
) -> None:
    options = arguments if "--resume" in arguments else (*SMALL, "--records", records, "--out", "run", *arguments)
    assert says in error_line(run(COMMAND, *options, code=2))
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


FULL_DISK = """
mount -t tmpfs -o size=9m none "$1" || exit 77
( until [ -s "$1/run/metrics.jsonl" ]; do sleep 0.05; done; head -c 9m /dev/zero > "$1/junk" ) 2>"$1.log" &
small=$1; shift
"$@" --out "$small/run"
echo "code $?; $(ls -A "$small/run" | tr '\\n' ' ')"
cp -r "$small/run" "$small.kept"
wait
"""


def test_a_full_disk_stops_it_with_one_line_and_the_checkpoint_before_is_whole(records: Path, tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here, which makes a small disk for this test")
    small = tmp_path / "small disk"
    small.mkdir()
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh", str(small), sys.executable]
    command += [str(ROOT / COMMAND), *SMALL, "--epochs", "1000", "--save-every-minutes", "0", "--records", str(records)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
    assert error_line(done).startswith(
        f"error: {small}/run/last.ckpt: {os.strerror(errno.ENOSPC)}: what it held before is kept"
    )
    assert "code 2; config.yaml last.ckpt metrics.jsonl provenance.json" in done.stdout
    _, progress, parameters = checkpoint.load_for_resume(tmp_path / "small disk.kept/last.ckpt")
    assert progress.epoch * 3 + progress.step > 0
    assert parameters


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_bit(records: Path, tmp_path: Path, run: Run) -> None:
    options = [*LONG, "--epochs", "120", "--batch-size", "3", "--records", str(records)]  # the later option counts
    began = time.monotonic()
    run(COMMAND, *options, "--out", tmp_path / "alone")
    whole_s = time.monotonic() - began
    moments = random.Random(0)
    resume, places, writing = ["--out", str(tmp_path / "killed")], [], 0
    for _ in range(KILLS):
        process = begin(tmp_path / "log", *(options if "--out" in resume else []), *resume)
        wait_for_epochs(process, tmp_path / "killed", len(lines(tmp_path / "killed")) + 6)
        time.sleep(moments.uniform(0, 0.2 * whole_s / KILLS))
        assert process.poll() is None, "it was done before it could be killed"
        process.kill()
        process.wait()
        writing += any(path.name.startswith(".partial-") for path in (tmp_path / "killed").iterdir())
        progress = checkpoint.load_for_resume(tmp_path / "killed/last.ckpt")[1]
        places.append((progress.epoch, progress.step))
        resume = ["--resume", str(tmp_path / "killed")]
    print(f"\nkilled after (epochs, steps) {places}, {writing} times in a write; left alone it takes {whole_s:.1f} s")
    run(COMMAND, *resume)
    for name in ("last.ckpt", "best.ckpt"):
        assert difference(tmp_path / "alone" / name, tmp_path / "killed" / name) == []
    assert untimed(tmp_path / "alone") == untimed(tmp_path / "killed")


@pytest.mark.slow
def test_two_ranks_write_one_run_folder_that_evaluation_reads(records: Path, tmp_path: Path, run: Run) -> None:
    command = [str(Path(sys.executable).parent / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    command += [f"--master_port={free_port()}", f"--log_dir={tmp_path / 'logs'}", str(ROOT / COMMAND), *SMALL]
    command += ["--epochs", "2", "--records", str(records), "--out", str(tmp_path / "run")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == ["logs", "run"]
    assert [line["step"] for line in untimed(tmp_path / "run")] == [2, 4]  # six videos, two ranks of two
    assert checkpoint.load_for_resume(tmp_path / "run/last.ckpt")[1].ranks == 2
    assert "here are 1: resume with as many" in error_line(run(COMMAND, "--resume", tmp_path / "run", code=2))
    shown = run("eval/evaluate.py", "--records", records, "--checkpoint", tmp_path / "run/last.ckpt").stdout
    assert re.search(r"top-1 [\d.]+% of 2 videos", shown)
