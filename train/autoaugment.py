"""AutoAugment's policy for ImageNet (arXiv:1805.09501, table 9), drawn by us and applied by MindData's own operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from mindspore.dataset import vision
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Operation = Callable[[Image, np.random.Generator], Image]

GREY = 128  # what rotating and shearing leave empty, as in the authors' code
LEVELS = 10

# the 25 sub-policies: two operations each, with their probability and level
SubPolicy = tuple[tuple[str, float, int], tuple[str, float, int]]
POLICY: tuple[SubPolicy, ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)


def autoaugment(image_HWC: Image, as_published: bool, rng: np.random.Generator) -> Image:
    """An RGB image after one sub-policy, drawn uniformly."""
    return applied(sub_policies(as_published)[int(rng.integers(len(POLICY)))], image_HWC, rng)


def applied(sub_policy: list[tuple[Operation, float]], image_HWC: Image, rng: np.random.Generator) -> Image:
    """An RGB image after a sub-policy's operations, each with its probability."""
    for operation_, probability in sub_policy:
        if rng.random() < probability:
            image_HWC = operation_(image_HWC, rng)
    return image_HWC


@cache
def sub_policies(as_published: bool) -> list[list[tuple[Operation, float]]]:
    """The policy's operations with their probabilities: by the paper, or as the MindSpore model zoo's code for GloRe."""
    make = published_operation if as_published else operation
    return [[(make(name, level), probability) for name, probability, level in sub_policy] for sub_policy in POLICY]


def magnitude(name: str, level: int) -> float:
    """What a level from 0 to 10 means, by the paper's ranges (table 6) in equal steps, as in the authors' code.

    rotate: degrees; shear_x: pixels that a row moves for each row it is below the first; solarize: the least value that is
    inverted; posterize: bits that are kept; color, contrast and sharpness: the factor, 1 changing nothing.
    """
    part = level / LEVELS
    values = {
        "rotate": 30 * part,
        "shear_x": 0.3 * part,
        "solarize": 256 - int(256 * part),
        "posterize": 8 - int(4 * part),
    }
    return values.get(name, 0.1 + 1.8 * part)


def operation(name: str, level: int) -> Operation:
    """One of the paper's operations. Rotation and shear go either way, with equal chances."""
    value = magnitude(name, level)
    if name in ("rotate", "shear_x"):
        return either_way(OPERATIONS[name], value)
    made = OPERATIONS[name](value)
    return lambda image_HWC, _: made(image_HWC)


def either_way(make: Callable[[float], Any], value: float) -> Operation:
    """An operation by `value` or by its negative."""
    ways = make(value), make(-value)
    return lambda image_HWC, rng: ways[int(rng.integers(2))](image_HWC)


def rotated(degrees: float) -> Any:
    """Rotation about the centre."""
    return vision.Rotate(degrees, fill_value=GREY)


def sheared(factor: float) -> Any:
    """Row y of a square image moves right by `factor` y pixels, as in the authors' code. MindData shears about the centre,
    by an angle, to the left: the first row is brought back."""
    return vision.Affine(0.0, (factor / 2, 0.0), 1.0, (-math.degrees(math.atan(factor)), 0.0), fill_value=GREY)


OPERATIONS: dict[str, Callable[[float], Any]] = {
    "posterize": lambda bits: vision.Posterize(int(bits)),
    "rotate": rotated,
    "solarize": lambda threshold: vision.Solarize((threshold, 255)),
    "auto_contrast": lambda _: vision.AutoContrast(),
    "equalize": lambda _: vision.Equalize(),
    "invert": lambda _: vision.Invert(),
    "color": lambda factor: vision.RandomColor((factor, factor)),
    "contrast": lambda factor: vision.RandomColorAdjust(contrast=(factor, factor)),
    "sharpness": lambda factor: vision.RandomSharpness((factor, factor)),
    "shear_x": sheared,
}


def published_operation(name: str, level: int) -> Operation:
    """An operation as the MindSpore model zoo's code for GloRe makes it, its defects included.

    Shear takes the factor 0.15 for degrees, so that hardly a pixel moves; solarize inverts a random range of the dark
    values, not all bright ones; posterize keeps 4 - k bits, not 8 - k; what rotation leaves empty is black.
    """
    part = level / LEVELS
    if name == "shear_x":
        return either_way(lambda degrees: vision.RandomAffine(degrees=0, shear=(degrees, degrees)), 0.3 * part)
    if name == "solarize":
        return lambda image_HWC, rng: vision.Solarize(sorted(rng.integers(0, 257 - int(256 * part), 2).tolist()))(image_HWC)
    if name == "posterize":
        fewest = vision.Posterize(4 - int(4 * part))
        return lambda image_HWC, _: fewest(image_HWC)
    if name == "rotate":
        return either_way(lambda degrees: vision.RandomRotation((degrees, degrees)), int(30 * part))
    return operation(name, level)
