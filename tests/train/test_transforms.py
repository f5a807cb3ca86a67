from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from train.transforms import Box, centre_crop, decode_clip, frame_size, random_resized_crop


def row(frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A row's bytes and offsets, at the best JPEG quality."""
    jpegs = [simplejpeg.encode_jpeg(np.ascontiguousarray(f), quality=100, colorsubsampling="444") for f in frames]
    return np.frombuffer(b"".join(jpegs), np.uint8), np.cumsum([0, *map(len, jpegs)])


def gradient(height: int, width: int, offset: int) -> np.ndarray:
    """A picture that grows brighter to the right in red and downwards in green."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 200, width)[None, :]
    image[..., 1] = np.linspace(0, 200, height)[:, None]
    image[..., 2] = offset
    return image


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 1000))
def test_the_random_crop_stays_inside_the_frame(height: int, width: int, seed: int) -> None:
    box = random_resized_crop(height, width, (0.25, 1.0), (0.75, 4 / 3), np.random.default_rng(seed))
    assert 0 <= box.top <= box.top + box.height <= height
    assert 0 <= box.left <= box.left + box.width <= width
    assert min(box.height, box.width) >= 1


def test_the_random_crop_has_areas_and_ratios_as_asked() -> None:
    rng = np.random.default_rng(0)
    boxes = [random_resized_crop(240, 320, (0.25, 0.6), (0.75, 4 / 3), rng) for _ in range(2000)]
    share = np.array([box.height * box.width / (240 * 320) for box in boxes])
    ratio = np.array([box.width / box.height for box in boxes])
    assert 0.245 < share.min() < 0.26
    assert 0.58 < share.max() < 0.61
    assert abs(share.mean() - 0.425) < 0.01
    assert 0.74 < ratio.min() < 0.78
    assert 1.29 < ratio.max() < 1.35
    assert abs(np.log(ratio).mean()) < 0.01


@pytest.mark.parametrize(
    ("height", "width", "box"), [(240, 320, Box(0, 40, 240, 240)), (5, 3, Box(1, 0, 3, 3)), (7, 7, Box(0, 0, 7, 7))]
)
def test_centre_crop_by_table(height: int, width: int, box: Box) -> None:
    assert centre_crop(height, width) == box


def test_only_the_frames_wanted_come_out_in_the_order_wanted() -> None:
    jpegs, offsets = row([gradient(32, 32, 10 * i) for i in range(12)])
    clip_THWC = decode_clip(jpegs, offsets, np.array([7, 2, 7, 11]), 32, None, False)
    assert clip_THWC.shape == (4, 32, 32, 3)
    assert np.abs(clip_THWC[..., 2].mean(axis=(1, 2)) - [70, 20, 70, 110]).max() < 2


def test_one_crop_and_one_flip_are_shared_by_all_frames_of_a_clip() -> None:
    jpegs, offsets = row([gradient(60, 80, 0)] * 3)
    plain = decode_clip(jpegs, offsets, np.arange(3), 20, Box(10, 40, 20, 20), False)
    flipped = decode_clip(jpegs, offsets, np.arange(3), 20, Box(10, 40, 20, 20), True)
    assert (plain == plain[0]).all()
    assert (flipped == plain[:, :, ::-1]).all()
    assert np.abs(plain[0].astype(int) - gradient(60, 80, 0)[10:30, 40:60]).max() <= 3


def test_frame_size_is_read_from_the_first_header() -> None:
    jpegs, offsets = row([gradient(48, 64, 0), gradient(48, 64, 1)])
    assert frame_size(jpegs, offsets) == (48, 64)
