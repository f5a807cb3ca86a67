from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run, error_line, make_ucf

from scripts import readme_tables

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


def test_the_host_is_planned_for_images_at_both_rates(run: Run, tmp_path: Path) -> None:
    measured = {"kind": "image", "ours_cpu_ms_per_image": 2.0, "ours_cpu_ms_per_image_autoaugment": 3.0}
    measured |= {"bytes_read_per_image": 110_000, "bytes_sent_per_image": 150_528}
    (tmp_path / "bench.json").write_text(json.dumps(measured))
    options = ("--measured", tmp_path / "bench.json", "--images-per-s", 3886, 17356)
    said = run("scripts/plan_host.py", *options).stdout
    assert "3886 images/s over 8 NPUs" in said
    assert "cores      7.8 without AutoAugment, 11.7 with it" in said
    assert "17356 images/s over 8 NPUs" in said
    assert "cores      34.7 without AutoAugment, 52.1 with it" in said
    assert "disk read  1.91 GB/s" in said


def test_too_few_videos_for_a_batch_are_refused_at_once(run: Run, frames: Path, records: Path) -> None:
    said = error_line(run("scripts/bench_stream.py", "--frames", frames, "--records", records, code=2))
    assert said == f"error: {records} has fewer than 16 training videos in split 1: take more"


@pytest.mark.slow  # four processes that import MindSpore
def test_the_bench_compares_images_with_pil(run: Run, tmp_path: Path) -> None:
    images, records, json_path = tmp_path / "images", tmp_path / "records", tmp_path / "bench.json"
    run("scripts/make_textures.py", "--out", images, "--train", 8, "--val", 1)
    run("mindrecord/build.py", "--dataset", "imagenet", "--root", images, "--out", records)
    options = ("--kind", "image", "--records", records, "--json", json_path, "--repeats", 1, "--epochs", 1)
    run("scripts/bench_stream.py", *options)
    found = json.loads(json_path.read_text())
    for suffix in ("", "_autoaugment"):
        rates = [found[f"{side}_images_per_s_a_core{suffix}"] for side in ("ours", "pil")]
        assert found[f"ours_over_pil{suffix}"] == pytest.approx(rates[0] / rates[1], rel=0.01)
    kilobytes = f"{found['bytes_read_per_image'] / 1e3:.0f}"
    said = readme_tables.measurements([json_path])
    assert f"| 80 training images of {kilobytes} kB, with AutoAugment |" in said
    run("scripts/plan_host.py", "--measured", json_path)


@pytest.mark.slow  # nine processes that import MindSpore
def test_the_bench_prints_and_writes_its_figures(run: Run, tmp_path: Path) -> None:
    frames, records = tmp_path / "frames", tmp_path / "records"
    make_ucf(tmp_path / "data", groups=9)
    run("preprocess/extract_frames.py", "--root", tmp_path / "data", "--out", frames)
    run("mindrecord/build.py", "--frames", frames, "--out", records)
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
    table = readme_tables.measurements([tmp_path / "bench.json"])
    assert "| 16 training clips of 16 x 112 x 112 of ucf101 packed with --short-side 240, 2 " in table
    run("scripts/plan_host.py", "--measured", tmp_path / "bench.json")
