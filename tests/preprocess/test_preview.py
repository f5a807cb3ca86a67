from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line
from PIL import Image

from preprocess.common.contact_sheet import GAP, LABEL_WIDTH, TILE_HEIGHT, spread, tile
from preprocess.common.errors import InputError

COMMAND = "preprocess/preview.py"


def test_the_sheet_has_a_row_a_video_with_its_frames_and_its_name(frames: Path, tmp_path: Path, run: Run) -> None:
    done = run(COMMAND, frames, "--out", tmp_path / "sheet.png", "--videos", 2, "--tiles", 3)
    assert "4 videos of 2 classes" in done.stdout
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image).astype(int)
    tile_width = round(64 * TILE_HEIGHT / 48)
    assert sheet.shape == (4 * (TILE_HEIGHT + GAP) + GAP, LABEL_WIDTH + 3 * (tile_width + GAP) + GAP, 3)
    for row in range(4):
        part = sheet[GAP + row * (TILE_HEIGHT + GAP) :][:TILE_HEIGHT]
        assert part[:, :LABEL_WIDTH].min() < 100  # the name is written
        tiles = [part[:, LABEL_WIDTH + i * (tile_width + GAP) :][:, :tile_width] for i in range(3)]
        assert all(tile.std() > 10 for tile in tiles)
        assert np.abs(tiles[0] - tiles[2]).mean() > 1  # first and last frame


def test_spread_takes_the_first_the_last_and_what_is_between() -> None:
    assert spread([1, 2, 3], 5) == [1, 2, 3]
    assert spread(list(range(11)), 3) == [0, 5, 10]
    assert spread(list(range(11)), 1) == [0]


def test_a_folder_without_frames_or_a_wrong_ending_is_refused(frames: Path, tmp_path: Path, run: Run) -> None:
    assert "is not a frames folder" in error_line(run(COMMAND, tmp_path, code=2))
    assert "--out ends in .png or .jpg" in error_line(run(COMMAND, frames, "--out", "sheet.txt", code=2))
    assert "in a folder that exists" in error_line(run(COMMAND, frames, "--out", "nowhere/sheet.png", code=2))


def test_a_frame_that_does_not_decode_is_no_traceback() -> None:
    with pytest.raises(InputError, match=r"a frame does not decode .*: verify\.py"):
        tile(b"no JPEG")
