"""The tables of results and measurements, from the files that are committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from preprocess.common.errors import InputError
from scripts import benchmarking, readme_tables
from train import run_folder


def test_the_readmes_show_the_committed_results(tmp_path: Path) -> None:
    assert readme_tables.main(readme_tables.Options(check=True)) == 0
    changed = tmp_path / "README.md"
    changed.write_text((ROOT / "README.md").read_text(encoding="utf-8").replace("| 92.7% |", "| 99.9% |"))
    with pytest.raises(InputError, match="does not show what"):
        readme_tables.main(readme_tables.Options((changed,), check=True))
    readme_tables.main(readme_tables.Options((changed,)))
    assert changed.read_text(encoding="utf-8") == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_seeds_of_a_recipe_become_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "recipe,split,seed,top1,top5,mean_class_accuracy,videos,missing_videos,train_seconds,device,cores,machine,mindspore,git_commit,date\n"
        "quick_cpu,1,2,0.9942,1.0,0.9942,168,2,100,CPU,2,x86_64,2.10.0,0123456789abcdef,2026-11-23\n"
        "quick_cpu,1,3,0.988,0.99,0.5,168,2,90,CPU,2,x86_64,2.10.0,0123456789abcdef,2026-11-22\n"
        "quick_cpu,2,3,0.988,0.99,0.5,168,2,90,CPU,2,x86_64,2.10.0,0123456789abcdef,2026-11-22\n"
    )
    row = "| `quick_cpu`, split 1 | 2, 3 | 99.4, 98.8 | 100.0, 99.0 | 99.4, 50.0 | 100, 90 | 168 of 170 listed "
    row += "| CPU, 2 cores, x86_64 | MindSpore 2.10.0, commit 0123456789 | 2026-11-22, 2026-11-23 |"
    lines = readme_tables.table([tmp_path / "a.csv"]).splitlines()
    assert lines[2] == row
    assert lines[3].startswith("| `quick_cpu`, split 2 | 3 | 98.8 | 99.0 | 50.0 | 90 |")
    assert len(lines) == 4


MEASURED = {
    "date": "2026-11-23",
    "machine": "Linux-6.1",
    "processor": "Some Processor",
    "cores": 2,
    "memory_gb": 8.3,
    "git_commit": "0123456789abcdef",
    "python": "3.11.2",
    "versions": {"mindspore": "2.10.0"},
}
PACK = {"kind": "pack", "frame_mb": 1234.0, "workers": 2, "pack_mb_per_s": 50.0, "tar_mb_per_s": 100.0, "ours_over_tar": 0.5}
PACK_ROW = (
    "| packing 1,234 MB of frames, read back and hashed, 2 processes | 50 MB/s | tar of the same files | 100 MB/s | 0.5 "
)
STEP = {"kind": "step", "batch_size": 4, "clip_frames": 16, "clip_size": 112}
STEP_ROW = "training step of ResNet3D-18, batch 4 of 16 x 112 x 112"


def written(path: Path, found: dict[str, Any], **measured: Any) -> Path:
    """A result file."""
    path.write_text(json.dumps(found | {"measured": MEASURED | measured}))
    return path


def test_measurements_become_rows_that_name_what_they_were_measured_on(tmp_path: Path) -> None:
    against = STEP | {"depths": [18], "freeze": None, "r3d18_mindspore_s": 3.0, "r3d18_pytorch_s": 2.25}
    frozen = STEP | {"depths": [18], "freeze": "fc", "r3d18_mindspore_s": 3.0, "r3d18_frozen_before_fc_s": 1.0}
    paths = [
        written(tmp_path / "pack.json", PACK),
        written(tmp_path / "step.json", against, versions={"mindspore": "2.10.0", "torch": "2.9.1"}),
        written(tmp_path / "frozen.json", frozen, git_commit="0123456789abcdef-dirty"),
        written(tmp_path / "again.json", PACK),
    ]
    assert readme_tables.measurements(paths).splitlines()[2:] == [
        f"{PACK_ROW}| 1 |",
        f"| {STEP_ROW} | 3 s | PyTorch | 2.25 s | 0.75 | 2 |",
        f"| {STEP_ROW}, frozen before fc | 1 s | the whole step | 3 s | 3 | 3 |",
        f"{PACK_ROW}| 1 |",
        "",
        "1. 2026-11-23, commit 0123456789: Some Processor, 2 cores, 8 GB; Python 3.11.2, mindspore 2.10.0",
        "2. 2026-11-23, commit 0123456789: Some Processor, 2 cores, 8 GB; Python 3.11.2, mindspore 2.10.0, torch 2.9.1",
        "3. 2026-11-23, commit 0123456789 with changes: Some Processor, 2 cores, 8 GB; Python 3.11.2, mindspore 2.10.0",
    ]


def test_a_result_file_that_lacks_something_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "pack.json", {"kind": "pack", "frame_mb": 1.0})
    with pytest.raises(InputError, match=r"pack\.json has no 'workers': write it with --json"):
        readme_tables.measurements([path])


def test_a_bench_prints_its_figures_and_writes_them_with_what_they_were_measured_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new/pack.json"
    benchmarking.report("pack", {**PACK, "tar_mb_per_s": 100.000012, "rows": [1]}, path, "pytest")
    assert f"{'tar_mb_per_s':40} 100.0\n" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert {name: found[name] for name in PACK} == PACK
    assert found["measured"]["versions"].keys() == {*run_folder.PACKAGES, "pytest"}
    assert found["measured"]["cores"] > 0
    assert found["measured"]["memory_gb"] > 0
    assert readme_tables.measurements([path]).splitlines()[2] == f"{PACK_ROW}| 1 |"


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_folder.git_commit() is None
    path = written(tmp_path / "pack.json", PACK, git_commit=None)
    assert "1. 2026-11-23, commit unknown: " in readme_tables.measurements([path])


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 7R13\nflags\t\t: fpu\n", "AMD EPYC 7R13"),
        ("processor\t: 0\nCPU architecture: 8\n", run_folder.platform.machine()),
    ],
)
def test_a_processor_is_named_as_the_kernel_does_else_by_its_architecture(cpuinfo: str, name: str) -> None:
    assert run_folder.processor(cpuinfo) == name
