from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from preprocess.common.contact_sheet import TILE_HEIGHT
from preprocess.common.errors import InputError
from scripts import autoaugment_sheet
from scripts.autoaugment_sheet import Options
from train.autoaugment import POLICY, Operation, applied, autoaugment, operation, published_operation, sub_policies

SIDE = 100
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)


def several(image_HWC: np.ndarray, made: Operation, times: int = 1) -> list[np.ndarray]:
    """What an operation makes of an image, with new draws each time."""
    rng = np.random.default_rng(1)
    return [made(image_HWC, rng) for _ in range(times)]


def line_places(image_HWC: np.ndarray) -> np.ndarray:
    """Where in each row the white line is."""
    return image_HWC[:, :, 0].argmax(axis=1)


def white_line() -> np.ndarray:
    image_HWC = np.zeros((SIDE, SIDE, 3), np.uint8)
    image_HWC[:, SIDE // 2] = 255
    return image_HWC


def test_shear_moves_each_row_by_its_share_of_its_distance_from_the_first_either_way() -> None:
    found = several(white_line(), operation("shear_x", 5), 12)
    expected = 0.15 * np.arange(SIDE)
    signs = set()
    for image_HWC in found:
        moved = line_places(image_HWC) - SIDE // 2
        sign = int(np.sign(moved[-1]))
        signs.add(sign)
        assert abs(sign * moved - expected).max() <= 1
        assert (image_HWC[-1, 0 if sign > 0 else -1] == 128).all()  # what is left empty is grey
    assert signs == {-1, 1}


def test_the_published_shear_hardly_moves_a_pixel() -> None:
    for image_HWC in several(white_line(), published_operation("shear_x", 5), 4):
        assert abs(line_places(image_HWC) - SIDE // 2).max() <= 1


@pytest.mark.parametrize(("level", "threshold"), [(3, 180), (4, 154), (5, 128), (7, 77), (8, 52)])
def test_solarize_inverts_the_values_from_its_threshold_on_and_no_other(level: int, threshold: int) -> None:
    ((row,),) = several(RAMP, operation("solarize", level))
    values = np.arange(256)
    assert (row[:, 0] == np.where(values < threshold, values, 255 - values)).all()


def test_the_published_solarize_leaves_the_brightest_values_alone() -> None:
    for image_HWC in several(RAMP, published_operation("solarize", 5), 8):
        assert (image_HWC[0, 129:, 0] == np.arange(129, 256)).all()


@pytest.mark.parametrize(("make", "bits"), [(operation, 5), (published_operation, 1)])
def test_posterize_keeps_the_highest_bits(make: Any, bits: int) -> None:
    ((row,),) = several(RAMP, make("posterize", 8))
    assert (row[:, 0] == np.arange(256) >> (8 - bits) << (8 - bits)).all()


def test_rotation_turns_by_three_degrees_a_level() -> None:
    for level, degrees in ((3, 9), (8, 24), (9, 27)):
        for image_HWC in several(white_line(), operation("rotate", level), 4):
            top, bottom = line_places(image_HWC)[[20, 80]]
            assert abs(abs(int(top) - int(bottom)) - 60 * np.tan(np.radians(degrees))) <= 2


def test_colour_at_level_0_is_nearly_grey_and_contrast_at_level_8_is_half_as_much_again() -> None:
    image_HWC = np.zeros((8, 8, 3), np.uint8)
    image_HWC[:, :4], image_HWC[:, 4:] = (200, 100, 60), (80, 140, 160)
    (grey_HWC,) = several(image_HWC, operation("color", 0))
    assert np.ptp(grey_HWC.astype(int), axis=2).max() <= 0.1 * 140 + 2
    (strong_HWC,) = several(image_HWC, operation("contrast", 8))
    before, after = (np.ptp(one[:, :, 0].astype(int)) for one in (image_HWC, strong_HWC))
    assert abs(after / before - 1.54) < 0.05


@pytest.mark.parametrize("as_published", [False, True])
def test_each_of_the_25_sub_policies_changes_pictures_and_keeps_their_shape(as_published: bool) -> None:
    rng = np.random.default_rng(0)
    image_HWC = np.kron(rng.integers(20, 200, (8, 8, 3)), np.ones((5, 5, 1))).astype(np.uint8)
    assert len(POLICY) == 25
    for operations in sub_policies(as_published):
        found = several(image_HWC, partial(applied, operations), 24)
        assert all(one.shape == image_HWC.shape and one.dtype == np.uint8 for one in found)
        assert any((one != image_HWC).any() for one in found)
    assert (
        len({one.tobytes() for one in several(image_HWC, lambda image, rng: autoaugment(image, as_published, rng), 50)}) > 10
    )


def test_the_sheet_has_a_row_a_sub_policy(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(tmp_path / "a.png")
    assert autoaugment_sheet.main(Options(image=tmp_path / "a.png", out=tmp_path / "sheet.png", tiles=2)) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 25 * TILE_HEIGHT
        assert sheet.width > 3 * TILE_HEIGHT
    with pytest.raises(InputError, match=r"none\.png cannot be read"):
        autoaugment_sheet.main(Options(image=tmp_path / "none.png", out=tmp_path / "sheet.png"))
