"""Which network a file of weights belongs to, told from its tensors' names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from train.models.resnet3d import DEPTHS, STAGE_CHANNELS, WIDE_EXPANSION, WIDE_K

Shape = tuple[int, ...]
GUESSED = ("resnet3d", "resnet2p1d", "wide_resnet3d")


def guess_model(shapes: Mapping[str, Shape]) -> tuple[str, dict[str, Any]] | None:
    """The name and options, `num_classes` among them, of the network whose tensors have these shapes; None when it is none
    of `GUESSED`.

    Strides leave no trace in the weights: `conv1_t_stride` and `no_max_pool` are not guessed.
    """
    stem = shapes.get("conv1_t.weight", shapes.get("conv1.weight", ()))
    last = shapes.get("layer4.0.conv2_t.weight", shapes.get("layer4.0.conv2.weight", ()))
    widening = shapes.get("layer1.0.conv3.weight", ())  # a bottleneck's last convolution
    head = shapes.get("fc.weight", ())
    blocks = tuple(count_blocks(shapes, f"layer{stage}.") for stage in (1, 2, 3, 4))
    depths = [depth for depth, kind in DEPTHS.items() if kind == (bool(widening), blocks)]
    if len(stem) != 5 or len(last) != 5 or len(head) != 2 or not depths:
        return None
    wide = bool(widening) and widening[0] == WIDE_EXPANSION * widening[1]
    name = "wide_resnet3d" if wide else "resnet2p1d" if "conv1_t.weight" in shapes else "resnet3d"
    return name, {
        "num_classes": head[0],
        "depth": depths[0],
        "widen_factor": last[0] / STAGE_CHANNELS[-1] / (WIDE_K if wide else 1),
        "shortcut_type": "B" if any(".downsample." in tensor for tensor in shapes) else "A",
        "conv1_t_size": stem[2],
    }


def count_blocks(shapes: Mapping[str, Shape], stage: str) -> int:
    """How many blocks a stage has: its names go `layer1.0.`, `layer1.1.` and so on."""
    return len({name.removeprefix(stage).split(".")[0] for name in shapes if name.startswith(stage)})
