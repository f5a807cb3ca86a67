from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT, Run, error_line

from mindrecord import build_records
from mindrecord.sources.images import ImagesOptions
from scripts import make_textures
from train.profile_step import Times, lines, verdict

SMALL = ("--recipe", ROOT / "train/recipes/quick_cpu.yaml", "--batch-size", 2, "--clip.size", 24, "--clip.frames", 8)
SMALL += ("--model.widen-factor", 0.125)


def test_a_step_is_taken_apart_and_judged(records: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "here").symlink_to(records)
    done = run("train/profile_step.py", "--records", "here", *SMALL, "--steps", 4)
    table = done.stdout.splitlines()
    assert "batches of 2 clips, on CPU" in table[0]
    found = [float(re.search(r"([\d.]+) ms a step", line)[1]) for line in table[1:5]]
    assert min(found) > 0
    assert table[5].startswith(("The network", "The data", "Sending"))
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.slow
def test_images_are_taken_apart_too(tmp_path: Path, run: Run) -> None:
    make_textures.main(make_textures.Options(out=tmp_path / "images", train=2, val=1, width=32, height=32))
    build_records.main(ImagesOptions(root=tmp_path / "images", out=tmp_path / "records", workers=1))
    narrow = ("--model.width", 0.0625, "--model.use-glore", False, "--freeze-until", "end_point", "--batch-size", 2)
    recipe = ("--recipe", ROOT / "train/recipes/quick_images.yaml", "--clip.autoaugment", "imagenet", *narrow)
    table = run("train/profile_step.py", "--records", "records", *recipe, "--steps", 2).stdout.splitlines()
    assert "quick_images on records, batches of 2 images, on CPU" in table[-6]
    assert all(line.endswith(" images/s") for line in table[-5:-1])
    assert table[-1].startswith(("The network", "The data", "Sending"))


def test_wrong_steps_get_one_line(records: Path, run: Run) -> None:
    assert "--steps 0 is not 1 or more" in error_line(
        run("train/profile_step.py", "--records", records, *SMALL, "--steps", 0, code=2)
    )


@pytest.mark.parametrize(
    ("times", "begins"),
    [
        (
            Times(data=0.1, sending=0.001, network=0.5, together=0.51, waiting=0.005),
            "The network is what takes the time; it waits for data 1%",
        ),
        (
            Times(data=0.9, sending=0.001, network=0.3, together=0.91, waiting=0.6),
            "The data is what takes the time: the network waits for it 66% of a step. It takes 3.0",
        ),
        (
            Times(data=0.01, sending=0.2, network=0.3, together=0.51, waiting=0.01),
            "Sending a batch takes 67% of the network's own time",
        ),
        (
            Times(data=0.2, sending=0.001, network=0.3, together=0.5, waiting=0.2),
            "The network waits 40% of a step, though the data by itself is quick enough",
        ),
    ],
)
def test_the_verdict_names_what_limits_training(times: Times, begins: str) -> None:
    assert verdict(times, is_images=False).startswith(begins)


def test_what_would_help_is_something_that_can_be_done() -> None:
    times = Times(data=0.9, sending=0.001, network=0.3, together=0.91, waiting=0.6)
    assert "frames packed at a smaller --short-side; --loader processes helps" in verdict(times, is_images=False)
    assert "3.0 times as many processors, or images that are packed smaller; --loader" in verdict(times, is_images=True)


def test_the_table_has_a_line_for_each_part() -> None:
    table = lines(Times(data=0.1, sending=0.001, network=0.5, together=0.51, waiting=0.005), clips=16, is_images=False)
    assert table[0] == "data               100.0 ms a step      160.0 clips/s"
    assert len(table) == 5
