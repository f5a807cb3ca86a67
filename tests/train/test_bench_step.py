from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from conftest import Run, error_line

from scripts import readme_tables

HAS_PYTORCH = importlib.util.find_spec("torch") is not None


@pytest.mark.skipif(HAS_PYTORCH, reason="PyTorch is installed here")
def test_without_pytorch_the_comparison_says_what_to_do(run: Run) -> None:
    said = error_line(run("scripts/bench_step.py", code=2))
    assert "PyTorch is not installed" in said
    assert "--freeze layer4" in said


@pytest.mark.slow  # R3D-18 at full size
def test_a_frozen_step_takes_less_time(run: Run, tmp_path: Path) -> None:
    small = ("--depths", 18, "--repeats", 1, "--steps", 1, "--batch-size", 1)
    run("scripts/bench_step.py", "--freeze", "layer4", *small, "--json", tmp_path / "bench.json")
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["r3d18_parameters"] == 33_255_717
    assert 0 < found["r3d18_frozen_before_layer4_s"] < found["r3d18_mindspore_s"]
    assert found["r3d18_frozen_over_full"] < 1
    table = readme_tables.measurements([tmp_path / "bench.json"])
    assert "| training step of ResNet3D-18, batch 1 of 16 x 112 x 112, frozen before layer4 |" in table


@pytest.mark.slow  # R3D-18 at full size, twice
@pytest.mark.skipif(not HAS_PYTORCH, reason="PyTorch is not installed here")
def test_the_networks_compared_have_as_many_parameters(run: Run, tmp_path: Path) -> None:
    small = ("--depths", 18, "--repeats", 1, "--steps", 1, "--batch-size", 1)
    run("scripts/bench_step.py", *small, "--json", tmp_path / "bench.json")
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["r3d18_ours_over_pytorch"] > 0
    assert f", torch {found['measured']['versions']['torch']}\n" in readme_tables.measurements([tmp_path / "bench.json"])
