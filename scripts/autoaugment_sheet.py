"""Draw AutoAugment's 25 sub-policies, each on the same image again and again, for people to look at.

python scripts/autoaugment_sheet.py --image photo.jpg --out autoaugment.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from PIL import Image

from preprocess.common import cli
from preprocess.common.contact_sheet import TILE_HEIGHT, SheetRow, check_picture, draw_sheet
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train.autoaugment import POLICY, applied, sub_policies


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw AutoAugment's 25 sub-policies on an image: the image itself, then what each makes of it, with new draws each
    time."""

    image: Path
    """Any picture."""
    out: Path = Path("autoaugment.png")
    """The sheet to write, .png or .jpg."""
    tiles: int = 8
    """How often each sub-policy is applied."""
    as_published: bool = False
    """As the published code's operations, not the paper's."""
    seed: int = 0
    """Of what is drawn."""


def main(options: Options) -> int:
    if options.tiles < 1:
        raise InputError(f"--tiles {options.tiles} is not 1 or more")
    check_picture(options.out)
    try:
        with Image.open(options.image) as opened:
            small = opened.convert("RGB").resize((TILE_HEIGHT, TILE_HEIGHT))
    except OSError as error:
        raise InputError(f"--image {options.image} cannot be read: {error}") from None
    image_HWC = np.asarray(small)
    rng = np.random.default_rng(options.seed)
    rows = []
    for number, (names, operations) in enumerate(zip(POLICY, sub_policies(options.as_published), strict=True), start=1):
        lines = [f"{name} {probability:g}, level {level}" for name, probability, level in names]
        tiles = (applied(operations, image_HWC, rng) for _ in range(options.tiles))
        rows.append(SheetRow((str(number), *lines), (image_HWC, *tiles)))
    draw_sheet(rows).save(options.out)
    say(f"{len(rows)} sub-policies: {options.out}")
    return 0


if __name__ == "__main__":
    cli.run(main, Options)
