"""The benchmarks that no stage's tests run, on next to nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, Run, make_video

from scripts import readme_tables

pytestmark = pytest.mark.slow


def test_extraction_is_timed_against_ffmpeg(run: Run, tmp_path: Path) -> None:
    make_video(tmp_path / "clips/a.avi")
    options = ("--videos", tmp_path / "clips", "--short-sides", 48, "--pairs", 1, "--json", tmp_path / "bench.json")
    run("scripts/bench_extract.py", *options)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert [row["layout"] for row in found["rows"]] == ["dir", "zip"]
    assert min(row["ours_s"] for row in found["rows"]) > 0
    assert f", ffmpeg {found['ffmpeg']}\n" in readme_tables.measurements([tmp_path / "bench.json"])


def test_packing_is_timed_against_tar(run: Run, frames: Path, tmp_path: Path) -> None:
    run("scripts/bench_pack.py", "--frames", frames, "--pairs", 1, "--json", tmp_path / "bench.json")
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["ours_over_tar"] == pytest.approx(found["pack_mb_per_s"] / found["tar_mb_per_s"], rel=0.01)
    assert "| tar of the same files |" in readme_tables.measurements([tmp_path / "bench.json"])


def test_seeds_become_a_table(run: Run, records: Path, tmp_path: Path) -> None:
    text = (ROOT / "train/recipes/quick_cpu.yaml").read_text()
    for old, new in (("epochs: 18", "epochs: 2"), ("batch_size: 16", "batch_size: 2"), ("size: 56", "size: 24")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "small.yaml").write_text(text)
    options = ("--recipe", tmp_path / "small.yaml", "--records", records, "--out", tmp_path / "small.csv")
    run("scripts/run_seeds.py", *options, "--seeds", 1, 2)
    header, *rows = (tmp_path / "small.csv").read_text().splitlines()
    assert header.startswith("recipe,dataset,split,seed,top1")
    assert [row.split(",")[:4] for row in rows] == [["small", "ucf101", "1", "1"], ["small", "ucf101", "1", "2"]]
    assert "| `small`, split 1 | 1, 2 |" in readme_tables.table([tmp_path / "small.csv"])
