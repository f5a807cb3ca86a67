from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run, error_line, make_video

COMMAND = "scripts/fuzz_extract.py"


@pytest.mark.parametrize("layout", ["dir", "zip"])
def test_of_damaged_videos_none_hangs_crashes_or_is_lost(tmp_path: Path, run: Run, layout: str) -> None:
    for seed, name in enumerate(("a.avi", "b.mp4", "c.mkv")):
        make_video(tmp_path / "videos" / name, frames=30, seed=seed)
    done = run(COMMAND, "--videos", tmp_path / "videos", "--count", 60, "--layout", layout)
    assert "60 damaged videos = " in done.stdout
    assert "none lost" in done.stdout
    assert "the file is cut" in done.stdout


def test_a_folder_without_videos_is_refused(tmp_path: Path, run: Run) -> None:
    assert "has no file" in error_line(run(COMMAND, "--videos", tmp_path, code=2))
