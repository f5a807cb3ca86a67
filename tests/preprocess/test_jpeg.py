from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from preprocess import jpeg


@pytest.mark.parametrize(("height", "width"), [(48, 64), (48, 63), (47, 64), (47, 63), (1, 1)])
def test_what_lies_behind_a_plane_in_memory_does_not_reach_the_jpeg(height: int, width: int) -> None:
    y = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    made = []
    for behind in (0, 255):
        memory = np.full((height + 2, width), behind, np.uint8)
        memory[:height] = y
        made.append(jpeg.encode((memory[:height], chroma, chroma), 95))
    assert made[0] == made[1]
    grey = simplejpeg.decode_jpeg(made[0], colorspace="GRAY")[..., 0]
    assert grey.shape == y.shape
    assert np.abs(grey.astype(int) - y).max() <= 3  # at the right and the lower edge as elsewhere
