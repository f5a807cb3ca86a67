"""The step from the host's bytes to the network's input, on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mindspore import Tensor, nn, ops


class NormalizeInput(nn.Cell):
    """uint8 clip_NTHWC, RGB -> logits_NK: reorder, cast to float32, `(x / 255 - mean) / std`, then `network`.

    Only bytes cross from host to device, in the order in which frames are decoded.
    """

    def __init__(self, network: nn.Cell, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        scale = 1 / (255 * np.asarray(std, np.float32))
        shift = -np.asarray(mean, np.float32) / np.asarray(std, np.float32)
        self.scale = Tensor(scale.reshape(1, 3, 1, 1, 1))
        self.shift = Tensor(shift.reshape(1, 3, 1, 1, 1))

    def construct(self, clip_NTHWC: Tensor) -> Tensor:
        clip_NCTHW = ops.transpose(clip_NTHWC, (0, 4, 1, 2, 3)).astype(self.scale.dtype)
        return self.network(clip_NCTHW * self.scale + self.shift)
