from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Run

from mindrecord.manifest import Shard
from mindrecord.staging import FINISHED, Building
from preprocess.common.errors import InputError

COMMAND = "mindrecord/build.py"
SHARDS = [
    Shard(
        file=f"split-1-0000{i}.mindrecord",
        flags=(1,),
        rows=3,
        videos=2,
        frames=40,
        size_bytes=100 + i,
        sha256="a",
        db_size_bytes=10,
        db_sha256="b",
    )
    for i in range(3)
]
PLAN = {"seed": 0, "flags": (1, 2)}


def left_by_another_run(out: Path) -> Building:
    building = Building(out)
    assert building.begin(PLAN) == {}
    for shard in SHARDS:
        building.append(shard)
    return building


def test_what_a_run_finished_is_known_to_the_next(tmp_path: Path) -> None:
    left_by_another_run(tmp_path / "r")
    assert list(Building(tmp_path / "r").begin(PLAN).values()) == SHARDS


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = left_by_another_run(tmp_path / "r").folder / FINISHED
    path.write_bytes(path.read_bytes()[:-20])
    assert list(Building(tmp_path / "r").begin(PLAN).values()) == SHARDS[:2]


@pytest.mark.parametrize("line", [b"{", b"3", b'{"flags": [1]}', b"\xff"])
def test_a_damaged_line_is_refused_by_name(tmp_path: Path, line: bytes) -> None:
    path = left_by_another_run(tmp_path / "r").folder / FINISHED
    path.write_bytes(line + b"\n" + path.read_bytes())
    with pytest.raises(
        InputError, match=r"finished\.jsonl, line 1 is damaged: delete the folder .*\.r\.building and pack again"
    ):
        Building(tmp_path / "r").begin(PLAN)
    assert path.read_bytes().startswith(line)


def test_another_plan_starts_over_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    building = left_by_another_run(tmp_path / "r")
    (building.records / SHARDS[0].file).write_bytes(b"x")
    assert Building(tmp_path / "r").begin({**PLAN, "seed": 1}) == {}
    assert "was left by a run over other frames or settings: its shards are deleted" in capsys.readouterr().out
    assert list(building.records.iterdir()) == []
    assert Building(tmp_path / "r").begin({**PLAN, "seed": 1}) == {}


def test_publishing_leaves_the_records_and_nothing_else(tmp_path: Path) -> None:
    building = left_by_another_run(tmp_path / "r")
    (building.records / "manifest.json").write_text("{}")
    building.publish()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["r", "r/manifest.json"]


def arguments(frames: Path, out: Path) -> list[str]:
    """A pack of many shards: every video is too large for one."""
    return ["--frames", str(frames), "--out", str(out), "--shard-mb", "1", "--workers", "1"]


def recorded(journal: Path) -> int:
    """How many shards are recorded; none once the folder is gone."""
    try:
        return len(journal.read_text().splitlines())
    except FileNotFoundError:
        return 0


def killed(frames: Path, out: Path, shards: int, wait_s: float = 0.0) -> Path:
    """Start the command and end it with kill -9 a while after so many shards are recorded, if it has not come to its end;
    returns the hidden folder."""
    building = Building(out).folder
    journal = building / FINISHED
    process = subprocess.Popen(
        [sys.executable, str(ROOT / COMMAND), *arguments(frames, out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while process.poll() is None and recorded(journal) < shards:
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(wait_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return building


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_after_kill_9_the_finished_shards_are_kept_and_the_bytes_are_those_of_an_undisturbed_run(
    frames: Path, tmp_path: Path, run: Run
) -> None:
    run(COMMAND, *arguments(frames, tmp_path / "undisturbed"))
    building = killed(frames, tmp_path / "r", 2)
    assert not (tmp_path / "r").exists()
    first, second = [line.split('"')[3] for line in (building / FINISHED).read_text().splitlines()[:2]]
    kept = building / "records" / first
    inode, written_ns = kept.stat().st_ino, kept.stat().st_mtime_ns
    damaged = building / "records" / second
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    assert "shards are kept from a previous run" in run(COMMAND, *arguments(frames, tmp_path / "r")).stdout
    status = (tmp_path / "r" / first).stat()
    assert (status.st_ino, status.st_mtime_ns) == (inode, written_ns)
    assert contents(tmp_path / "r") == contents(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".r.lock", ".undisturbed.lock", "r", "undisturbed"]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(frames: Path, tmp_path: Path, run: Run) -> None:
    run(COMMAND, *arguments(frames, tmp_path / "undisturbed"))
    rng = random.Random(0)
    for attempt in range(5):
        out = tmp_path / str(attempt)
        for _ in range(2):
            killed(frames, out, rng.randrange(1, 5), rng.random() / 10)
        run(COMMAND, *arguments(frames, out))
        assert contents(out) == contents(tmp_path / "undisturbed")
