from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from train.transforms import (
    Box,
    centre_crop,
    decode_clip,
    decode_views,
    evaluated_squares,
    frame_size,
    jitter_colour,
    multi_scale_crop,
    random_resized_crop,
    reduction,
    three_crops,
)


def row(frames: list[np.ndarray]) -> list[bytes]:
    """The frames' JPEGs, at the best quality."""
    return [simplejpeg.encode_jpeg(np.ascontiguousarray(f), quality=100, colorsubsampling="444") for f in frames]


def decoded(frames: list[np.ndarray], size: int, box: Box, flip: bool = False) -> np.ndarray:
    """What `decode_clip` writes into a buffer that is full of something else."""
    clip_THWC = np.full((len(frames), size, size, 3), 77, np.uint8)
    decode_clip(row(frames), box, flip, clip_THWC)
    return clip_THWC


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
    ("height", "width", "box"),
    [
        (240, 320, Box(top=0, left=40, height=240, width=240)),
        (5, 3, Box(top=1, left=0, height=3, width=3)),
        (7, 7, Box(top=0, left=0, height=7, width=7)),
    ],
)
def test_centre_crop_by_table(height: int, width: int, box: Box) -> None:
    assert centre_crop(height, width) == box


@pytest.mark.parametrize(
    ("height", "width", "lefts", "tops"), [(240, 320, [0, 40, 80], [0] * 3), (9, 5, [0] * 3, [0, 2, 4])]
)
def test_three_crops_by_table(height: int, width: int, lefts: list[int], tops: list[int]) -> None:
    side = min(height, width)
    assert three_crops(height, width) == [
        Box(top=top, left=left, height=side, width=side) for top, left in zip(tops, lefts, strict=True)
    ]


def test_the_squares_of_a_short_side_of_256_are_seven_eighths_of_it() -> None:
    assert evaluated_squares(256, 512, 1, 224 / 256) == [Box(top=16, left=144, height=224, width=224)]
    assert evaluated_squares(512, 256, 3, 224 / 256) == [
        Box(top=top, left=16, height=224, width=224) for top in (0, 144, 288)
    ]
    assert evaluated_squares(1, 9, 1, 0.1) == [Box(top=0, left=4, height=1, width=1)]


def test_the_multi_scale_crop_is_at_a_corner_or_the_centre_with_sides_a_step_apart() -> None:
    rng = np.random.default_rng(0)
    boxes = {multi_scale_crop(100, 150, rng) for _ in range(3000)}
    sides = [100, 87, 75, 66]
    assert {(box.height, box.width) for box in boxes} == {
        (a, b) for a in sides for b in sides if abs(sides.index(a) - sides.index(b)) <= 1
    }
    for box in boxes:
        bottom, right = 100 - box.height, 150 - box.width
        assert (box.top, box.left) in [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    assert len({(box.top, box.left) for box in boxes if (box.height, box.width) == (75, 75)}) == 5


@pytest.mark.parametrize(
    ("height", "width", "size", "by"),
    [(223, 224, 112, 1), (224, 224, 112, 2), (200, 260, 112, 2), (447, 448, 112, 2), (448, 448, 112, 4), (9999, 9999, 8, 8)],
)
def test_a_frame_is_decoded_smaller_while_the_box_keeps_the_pixels_wanted(
    height: int, width: int, size: int, by: int
) -> None:
    assert reduction(Box(top=0, left=0, height=height, width=width), size) == by


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (241, 321, Box(top=1, left=3, height=240, width=318)),
        (240, 320, Box(top=8, left=40, height=100, width=110)),
        (96, 128, Box(top=0, left=0, height=96, width=128)),
    ],
)
def test_the_result_is_close_to_a_resize_that_averages_every_pixel(height: int, width: int, box: Box) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (height // 24 + 1, width // 24 + 1, 3), np.uint8)
    image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    ours = decoded([image], 48, box)[0]
    crop = image[box.top : box.top + box.height, box.left : box.left + box.width]
    exact = cv2.resize(crop, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(ours.astype(int) - exact).mean() < 5


def test_every_frame_comes_out_once_in_its_order() -> None:
    clip_THWC = decoded([gradient(32, 32, 10 * i) for i in (7, 2, 11)], 32, Box(top=0, left=0, height=32, width=32))
    assert clip_THWC.shape == (3, 32, 32, 3)
    assert np.abs(clip_THWC[..., 2].mean(axis=(1, 2)) - [70, 20, 110]).max() < 2


def test_one_crop_and_one_flip_are_shared_by_all_frames_of_a_clip() -> None:
    frames = [gradient(60, 80, 0)] * 3
    plain, flipped = (decoded(frames, 20, Box(top=10, left=40, height=20, width=20), flip) for flip in (False, True))
    assert (plain == plain[0]).all()
    assert (flipped == plain[:, :, ::-1]).all()
    assert np.abs(plain[0].astype(int) - gradient(60, 80, 0)[10:30, 40:60]).max() <= 3


def test_views_are_the_boxes_of_each_frame_averaged_over_all_their_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    frames = [noise, 255 - noise]
    boxes = [Box(top=0, left=0, height=90, width=90), Box(top=0, left=70, height=90, width=90)]
    views_CTHWC = np.full((2, 2, 30, 30, 3), 77, np.uint8)
    decode_views(row(frames), boxes, views_CTHWC)
    weights = np.maximum(1 - np.abs(np.arange(-2, 3)) / 3, 0)  # a triangle three pixels wide to each side
    weights /= weights.sum()
    for c, box in enumerate(boxes):
        for t, frame in enumerate(frames):
            square = frame[box.top : box.top + 90, box.left : box.left + 90].astype(float)
            rows = sum(w * square[3 + i : 86 + i : 3] for i, w in enumerate(weights, start=-1))
            exact = sum(w * rows[:, 3 + i : 86 + i : 3] for i, w in enumerate(weights, start=-1))
            assert np.abs(views_CTHWC[c, t, 1:29, 1:29] - exact).mean() < 1.5


def test_colours_change_by_their_formulas_for_all_frames_alike() -> None:
    clip_THWC = np.stack([gradient(20, 20, 50)] * 2) // 2 + 40
    same = clip_THWC.copy()
    jitter_colour(same, 1, 1, 1)
    assert (same == clip_THWC).all()
    grey = clip_THWC @ np.array([0.299, 0.587, 0.114])
    for factors, expected in [
        ((1.3, 1, 1), clip_THWC * 1.3),
        ((1, 0.5, 1), (clip_THWC + grey.mean()) / 2),
        ((1, 1, 0), np.repeat(grey[..., None], 3, axis=-1)),
        ((9, 1, 1), np.full(clip_THWC.shape, 255)),
    ]:
        changed = clip_THWC.copy()
        jitter_colour(changed, *factors)
        assert np.abs(changed - expected).max() <= 1


def test_frame_size_is_read_from_the_header() -> None:
    assert frame_size(row([gradient(48, 64, 0)])[0]) == (48, 64)
