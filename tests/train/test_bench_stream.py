from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run, error_line

MEASURED = {
    "ours_cpu_ms_per_clip": 4.0,
    "gil_held": 0.1,
    "bytes_read_per_clip": 100_000,
    "bytes_on_disk_per_clip": 2_000_000,
    "bytes_sent_per_clip": 602_112,
}


def test_the_host_is_planned_from_what_was_measured(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(MEASURED))
    said = run("scripts/plan_host.py", "--npus", 8, "--clips-per-s", 1000, "--measured", tmp_path / "bench.json").stdout
    assert "cores      32.0 (4.0 an NPU; the target 5 is kept)" in said
    assert "memory     9.9 GB of batches in the queues, 19.1 GB to cache the records" in said
    assert "disk read  0.80 GB/s" in said
    assert "PCIe       4.82 GB/s to all NPUs, 0.60 to each" in said
    assert "It is assumed that" in said


def test_a_plan_without_measurements_says_how_to_get_them(run: Run, tmp_path: Path) -> None:
    done = run("scripts/plan_host.py", "--measured", tmp_path / "none.json", code=2)
    assert "write it with scripts/bench_stream.py --json" in error_line(done)


@pytest.mark.slow  # nine processes that import MindSpore
def test_the_bench_prints_and_writes_its_figures(run: Run, frames: Path, records: Path, tmp_path: Path) -> None:
    run(
        "scripts/bench_stream.py",
        *("--frames", frames, "--records", records, "--json", tmp_path / "bench.json", "--repeats", 1, "--epochs", 1),
    )
    found = json.loads((tmp_path / "bench.json").read_text())
    assert min(found[f"{name}_clips_per_s"] for name in ("published", "ours", "decode")) > 0
    assert found["ours_over_published"] == pytest.approx(
        found["ours_clips_per_s"] / found["published_clips_per_s"], rel=0.01
    )
    assert 0 < found["bytes_read_per_clip"] < found["bytes_on_disk_per_clip"]
    run("scripts/plan_host.py", "--measured", tmp_path / "bench.json")
