"""ResNet3D and wide ResNet3D: residual networks of 3-D convolutions.

Source: Kataoka, Wakamiya, Hara, Satoh, "Would Mega-scale Datasets Further Enhance Spatiotemporal 3D CNNs?", 2020,
arXiv:2004.04968; the wide network: Hara, Kataoka, Satoh, 2018, arXiv:1711.09577, section 3.2. The block structure is that of
He et al., arXiv:1512.03385, with every 3x3 kernel made 3x3x3.
Parameters carry the names of the MindSpore model zoo's network (`layer1.0.bn1.bn2d.gamma`), so that its checkpoints load
as they are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import HeNormal, initializer

from preprocess.common.errors import InputError

# depth -> (bottleneck blocks?, blocks in each of the four stages)
DEPTHS: dict[int, tuple[bool, tuple[int, int, int, int]]] = {
    10: (False, (1, 1, 1, 1)),
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
    200: (True, (3, 24, 36, 3)),
}
STAGE_CHANNELS = (64, 128, 256, 512)
BOTTLENECK_EXPANSION = 4
WIDE_EXPANSION = 2
WIDE_K = 2


def conv3d(
    channels_in: int, channels_out: int, kernel: int | tuple[int, int, int], stride: int | tuple[int, int, int] = 1
) -> nn.Conv3d:
    """A convolution without bias, padded by half its kernel, He-normal by fan-out (arXiv:1502.01852, eq. 14)."""
    size = (kernel,) * 3 if isinstance(kernel, int) else kernel
    padding = tuple(p for k in size for p in (k // 2, k // 2))
    layer = nn.Conv3d(channels_in, channels_out, size, stride=stride, pad_mode="pad", padding=padding, has_bias=False)
    layer.weight.set_data(initializer(HeNormal(mode="fan_out"), layer.weight.shape, layer.weight.dtype))
    return layer


class ShortcutA(nn.Cell):
    """Parameter-free shortcut: every `stride`-th value, and zeros for the channels that are new (arXiv:1512.03385, 3.3)."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels = new_channels
        self.stride = stride

    def construct(self, x_NCTHW: Tensor) -> Tensor:
        x_NCTHW = x_NCTHW[:, :, :: self.stride, :: self.stride, :: self.stride]
        n, _, t, h, w = x_NCTHW.shape
        return ops.concat((x_NCTHW, ops.zeros((n, self.new_channels, t, h, w), x_NCTHW.dtype)), axis=1)


def new_shortcut(channels_in: int, channels_out: int, stride: int, shortcut_type: str) -> nn.Cell | None:
    """What a block adds to F(x): None for x itself, else what gives x the shape of F(x)."""
    if stride == 1 and channels_in == channels_out:
        return None
    if shortcut_type == "A":
        return ShortcutA(channels_out - channels_in, stride)
    return nn.SequentialCell([conv3d(channels_in, channels_out, 1, stride), nn.BatchNorm3d(channels_out)])


class Block(nn.Cell):
    """A residual block: relu(shortcut(x) + F(x)). F is two 3x3x3 convolutions, or with an `expansion` above 1 a bottleneck,
    1-3-1, with that many times `channels` out; the stride is on the first, or on the bottleneck's middle one.
    `last_gamma` is the initial gamma of F's last batch norm, zeros or ones. (N, C_in, T, H, W) -> (N, C_out, T/s, H/s,
    W/s)."""

    def __init__(
        self, channels_in: int, channels: int, stride: int, expansion: int, shortcut_type: str, last_gamma: str
    ) -> None:
        super().__init__()
        channels_out = channels * expansion
        self.bottleneck = expansion > 1
        if self.bottleneck:
            self.conv1 = conv3d(channels_in, channels, 1)
            self.conv2 = conv3d(channels, channels, 3, stride)
            self.conv3 = conv3d(channels, channels_out, 1)
            self.bn3 = nn.BatchNorm3d(channels_out, gamma_init=last_gamma)
        else:
            self.conv1 = conv3d(channels_in, channels, 3, stride)
            self.conv2 = conv3d(channels, channels, 3)
        self.bn1 = nn.BatchNorm3d(channels)
        self.bn2 = nn.BatchNorm3d(channels, gamma_init="ones" if self.bottleneck else last_gamma)
        self.relu = nn.ReLU()
        self.downsample = new_shortcut(channels_in, channels_out, stride, shortcut_type)

    def construct(self, x_NCTHW: Tensor) -> Tensor:
        y_NCTHW = self.relu(self.bn1(self.conv1(x_NCTHW)))
        y_NCTHW = self.bn2(self.conv2(y_NCTHW))
        if self.bottleneck:
            y_NCTHW = self.bn3(self.conv3(self.relu(y_NCTHW)))
        if self.downsample is not None:
            x_NCTHW = self.downsample(x_NCTHW)
        return self.relu(x_NCTHW + y_NCTHW)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the networks of this family can be told."""

    depth: int = 50
    """10, 18, 34 (basic blocks), 50, 101, 152 or 200 (bottlenecks)."""
    widen_factor: float = 1.0
    """Multiplies every channel count; 1 is the paper's network."""
    shortcut_type: str = "B"
    """B, 1x1x1 convolution and batch norm, or A, strided and padded with zero channels."""
    conv1_t_size: int = 7
    """The stem kernel's extent in time, odd."""
    conv1_t_stride: int = 1
    """The stem's stride in time."""
    no_max_pool: bool = False
    """Leave out the max-pool after the stem."""
    zero_init_residual: bool = False
    """Initialise the last gamma of every block's F to zero, so that a block begins as its shortcut
    (arXiv:1706.02677, section 5.1); for training from scratch."""


class ResNet3D(nn.Cell):
    """float32 clip_NCTHW, already normalised -> logits_NK.

    With T = 16 and H = W = 112 the stages give 64x8x28x28, 128x4x14x14, 256x2x7x7 and 512x1x4x4 at width 1
    (channels times `expansion`), then the mean over T, H, W and one dense layer (arXiv:2004.04968, table 2).
    """

    block: type[nn.Cell] = Block
    bottleneck_expansion = BOTTLENECK_EXPANSION
    k = 1

    def __init__(self, num_classes: int, options: Options) -> None:
        super().__init__()
        bottleneck, blocks = DEPTHS[options.depth]
        expansion = self.bottleneck_expansion if bottleneck else 1
        channels = [int(c * self.k * options.widen_factor) for c in STAGE_CHANNELS]
        self.make_stem(channels[0], options.conv1_t_size, options.conv1_t_stride)
        self.relu = nn.ReLU()
        # padding 1 on every side, as the paper's network; `same` would shift the windows (81 % of the values differ)
        self.maxpool = None if options.no_max_pool else nn.MaxPool3d(3, 2, pad_mode="pad", padding=1)
        last_gamma = "zeros" if options.zero_init_residual else "ones"
        stages = []
        channels_in = channels[0]
        for stage, (count, width) in enumerate(zip(blocks, channels, strict=True), start=1):
            cells = []
            for i in range(1, count + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                cells.append(self.block(channels_in, width, stride, expansion, options.shortcut_type, last_gamma))
                channels_in = width * expansion
                cells += self.after_block(stage, i, channels_in)
            stages.append(nn.SequentialCell(cells))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Dense(channels_in, num_classes)

    def make_stem(self, channels: int, t_size: int, t_stride: int) -> None:
        """Make the layers that `stem` goes through."""
        self.conv1 = conv3d(3, channels, (t_size, 7, 7), (t_stride, 2, 2))
        self.bn1 = nn.BatchNorm3d(channels)

    def after_block(self, stage: int, i: int, channels: int) -> list[nn.Cell]:
        """What follows a stage's i-th block, both counted from 1: nothing, in this network."""
        return []

    def stem(self, clip_NCTHW: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> (N, C, T/s, H/2, W/2): what comes before the max-pool."""
        return self.relu(self.bn1(self.conv1(clip_NCTHW)))

    def stages(self, clip_NCTHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What each of the four stages puts out."""
        x_NCTHW = self.stem(clip_NCTHW)
        if self.maxpool is not None:
            x_NCTHW = self.maxpool(x_NCTHW)
        x1_NCTHW = self.layer1(x_NCTHW)
        x2_NCTHW = self.layer2(x1_NCTHW)
        x3_NCTHW = self.layer3(x2_NCTHW)
        return x1_NCTHW, x2_NCTHW, x3_NCTHW, self.layer4(x3_NCTHW)

    def head(self, x_NCTHW: Tensor) -> Tensor:
        """The last stage's output -> logits_NK."""
        # a plain mean: AdaptiveAvgPool3d cannot be exported to ONNX
        return self.fc(x_NCTHW.mean((2, 3, 4)))

    def construct(self, clip_NCTHW: Tensor) -> Tensor:
        return self.head(self.stages(clip_NCTHW)[3])


class WideResNet3D(ResNet3D):
    """float32 clip_NCTHW, already normalised -> logits_NK (arXiv:1711.09577, section 3.2; its k is 2): every convolution of
    ResNet3D-50 has twice its channels, the stem's too as in the authors' present code, and the output of a bottleneck is
    twice its channels instead of four times."""

    bottleneck_expansion = WIDE_EXPANSION
    k = WIDE_K


NetworkT = TypeVar("NetworkT", bound=ResNet3D)


def build(
    network: type[NetworkT], name: str, depths: Collection[int], num_classes: int, options: dict[str, Any]
) -> NetworkT:
    """A network of this kind, called `name`, which has these depths.

    Raises:
        InputError: an option is out of its range.
    """
    chosen = Options(**options)
    if chosen.depth not in depths:
        raise InputError(f"{name} has no depth {chosen.depth}: choose one of {', '.join(map(str, depths))}")
    if chosen.shortcut_type not in ("A", "B"):
        raise InputError(f"{name} has no shortcut_type {chosen.shortcut_type!r}: choose A or B")
    if int(STAGE_CHANNELS[0] * chosen.widen_factor) < 1:
        raise InputError(f"widen_factor {chosen.widen_factor} leaves no channels: {1 / STAGE_CHANNELS[0]} is the least")
    size, stride = chosen.conv1_t_size, chosen.conv1_t_stride
    if size < 1 or size % 2 == 0 or stride < 1:
        raise InputError(f"conv1_t_size {size} must be odd and conv1_t_stride {stride} at least 1")
    return network(num_classes, chosen)


def resnet3d(num_classes: int, **options: Any) -> ResNet3D:
    """ResNet3D of arXiv:2004.04968 with `num_classes` logits, K; see `Options`.

    Raises:
        InputError: an option is out of its range.
    """
    return build(ResNet3D, "resnet3d", DEPTHS, num_classes, options)


def wide_resnet3d(num_classes: int, **options: Any) -> WideResNet3D:
    """Wide ResNet3D-50 (arXiv:1711.09577, section 3.2); options and errors are those of `resnet3d`, the one depth is 50."""
    return build(WideResNet3D, "wide_resnet3d", (50,), num_classes, options)
