from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import Run, error_line

from scripts.simulate_feed import Feed, Options, try_out

MEASURED = {
    "ours_cpu_ms_per_clip": 4.0,
    "bytes_read_per_clip": 100_000,
    "bytes_on_disk_per_clip": 2_000_000,
    "bytes_sent_per_clip": 600_000,
}


@pytest.mark.parametrize(
    ("cores", "disk", "pcie_gb_s", "utilisation"),
    [
        (32, 1e9, 1, 1.0),  # 32 cores at 4 ms a clip are 8000 clips/s
        (16, 1e9, 1, 0.5),
        (192, 0.4e9, 1, 0.5),  # 4000 clips/s of 100 kB
        (192, 1e9, 0.15, 0.25),  # 250 clips/s of 600 kB to each
    ],
)
def test_the_scarcest_resource_decides(cores: int, disk: float, pcie_gb_s: float, utilisation: float) -> None:
    feed = Feed("", npus=8, cores=cores, disk=disk, clips_per_s=1000)
    assert feed.utilisation(Options(pcie_gb_s=pcie_gb_s), MEASURED, cores) == pytest.approx(utilisation)


def test_ranks_that_take_twice_what_they_get_are_busy_half_of_the_time() -> None:
    assert try_out(20, 1.0, (2.0,))[2.0] < 0.75  # other processes may take some, and so give less


def test_the_report_and_the_plot_say_what_limits(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(MEASURED))
    options = ("--measured", tmp_path / "bench.json", "--out", tmp_path / "feed.svg", "--seconds", 0.3)
    said = run("scripts/simulate_feed.py", *options, "--cores", 16, "--extracted-per-s", 10).stdout
    assert "8 NPUs, one host: busy 50% with 16 cores" in said
    assert "processors 50%, disk 250%, PCIe 2667%; processors would limit first; 32 cores suffice for all" in said
    assert "Kinetics-700, 650,000 clips: 1.30 TB stored, which does not fit a host's memory" in said
    assert "8 NPUs, one host: 2.7 minutes an epoch" in said
    assert "hours to extract, by machines: 18.1 on 1, 4.5 on 4, 1.1 on 16" in said
    assert "Nothing of this has been seen on an Ascend." in said
    assert ET.parse(tmp_path / "feed.svg").getroot().tag.endswith("svg")


def test_without_measurements_it_says_how_to_get_them(run: Run) -> None:
    assert "write it with scripts/bench_stream.py --json" in error_line(run("scripts/simulate_feed.py", code=2))
