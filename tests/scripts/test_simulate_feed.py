from __future__ import annotations

import json
import math
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
    feed = Feed(name="", npus=8, cores=cores, disk=disk, clips_per_s=1000)
    assert feed.utilisation(Options(pcie_gb_s=pcie_gb_s), MEASURED, cores) == pytest.approx(utilisation)


def test_what_comes_from_memory_is_not_read_from_the_disk() -> None:
    feed = Feed(name="", npus=8, cores=192, disk=0.4e9, clips_per_s=1000)
    shares = [feed.limits(Options(), MEASURED, 192, kept)["disk"] for kept in (0.0, 0.5, 1.0)]
    assert shares == [pytest.approx(0.5), pytest.approx(1.0), math.inf]
    assert feed.utilisation(Options(), MEASURED, 192, 1.0) == 1


def test_ranks_that_take_twice_what_they_get_are_busy_half_of_the_time() -> None:
    assert try_out(20, 1.0, (2.0,))[2.0] < 0.75  # other processes may take some, and so give less


def test_the_report_and_the_plot_say_what_limits(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(MEASURED))
    options = ("--measured", tmp_path / "bench.json", "--out", tmp_path / "feed.svg", "--seconds", 0.3)
    said = run("scripts/simulate_feed.py", *options, "--cores", 16, "--extracted-per-s", 10).stdout
    assert "8 NPUs, one host: busy 50% with 16 cores" in said
    assert "there is 0.5 times the processors, 2.5 times the disk, 26.7 times the PCIe that they take" in said
    assert "processors would limit first; 32 cores suffice for all" in said
    assert "Kinetics-700, 650,000 videos, 162 million frames: 1.74 TB stored; a host's memory holds 44% of it" in said
    assert "Moments in Time, 1,650,000 videos, 238 million frames: 2.54 TB stored; a host's memory holds 30% of it" in said
    assert "8 NPUs, one host: 2.7 minutes an epoch, 2.7 at best with what memory holds" in said
    assert "64 NPUs, 8 hosts: 0.3 minutes" in said
    assert "hours to extract, by machines: 24.2 on 1, 6.0 on 4, 1.5 on 16" in said
    assert f"Measured, from {tmp_path / 'bench.json'}: a clip takes 4.00 ms of a core, reads 100 kB and sends 600 kB" in said
    for option in Options.__dataclass_fields__:  # each that the figures depend on is named with them
        assert option in ("measured", "out", "seconds") or f"--{option.replace('_', '-')}" in said, option
    said_without = run("scripts/simulate_feed.py", *options).stdout
    assert "hours to extract: give --extracted-per-s: clips / ours_s of scripts/bench_extract.py" in said_without
    assert "Nothing of this has been seen on an Ascend." in said
    assert ET.parse(tmp_path / "feed.svg").getroot().tag.endswith("svg")


def test_without_measurements_it_says_how_to_get_them(run: Run) -> None:
    assert "write it with scripts/bench_stream.py --json" in error_line(run("scripts/simulate_feed.py", code=2))
