from __future__ import annotations

from pathlib import Path

from preprocess.common import files
from scripts import bench_run
from scripts.bench_run import Options


def test_what_is_not_steps_is_what_the_run_takes_besides_them(tmp_path: Path) -> None:
    bench_run.main(Options(epochs=3, steps=4, step_ms=20.0, ranks=1, json=tmp_path / "run.json"))
    found = files.read_json(tmp_path / "run.json")
    assert 12 * 0.02 <= found["steps_s"] < 12 * 0.02 + 2  # they wait, and copy their totals
    assert found["steps_s"] + found["start_s"] + found["end_s"] <= found["run_s"]
    assert found["not_steps"] == round(1 - found["steps_s"] / found["run_s"], 4)
    assert found["checkpoints"] >= 2  # at the beginning and at the end
