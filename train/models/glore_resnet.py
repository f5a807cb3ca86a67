"""GloRe-ResNet: residual networks with Global Reasoning units, for images and for clips.

Source: Chen et al., CVPR 2019, arXiv:1811.12814, section 4, in the form of the MindSpore model zoo: depth 50 is a ResNet
with a deep stem and pooled shortcuts (arXiv:1812.01187, section 4), 101 and 200 have the norm before the convolution
(arXiv:1603.05027). The parameter names are the zoo's, those of depth 50 and those of 101 and 200.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from mindspore import Tensor, nn
from mindspore.common.initializer import HeNormal, HeUniform, XavierUniform, initializer

from preprocess.common.errors import InputError
from train.models.glore import NORM, GlobalReasoning
from train.models.resnet3d import BOTTLENECK_EXPANSION, DEPTHS, STAGE_CHANNELS, ResNet3D, build

# depth -> stage (1 to 4) -> the blocks, counted from 1, that a unit follows
UNITS: dict[int, dict[int, tuple[int, ...]]] = {
    50: {3: (1, 3, 5)},
    101: {2: (1, 3), 3: (3, 11, 19)},
    200: {2: (12, 18), 3: (16, 24, 32)},
}
STEM_CHANNELS = (32, 32, 64)
INITIALIZERS = {"xavier": XavierUniform, "he_normal": HeNormal, "he_uniform": HeUniform}


def conv2d(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded by half its kernel."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride, pad_mode="pad", padding=kernel // 2)


def conv2d_same(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded more on the right and below where that does not come out even, as the zoo's."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride, pad_mode="same")


def single_frame(image: Tensor) -> Tensor:
    """image_NCHW as it is, and of a clip_NCTHW its one frame."""
    return image.squeeze(2) if image.ndim == 5 else image


class PooledBlock(nn.Cell):
    """relu(shortcut(x) + F(x)): F is a bottleneck with the stride on the 3x3, whose last gamma begins at zero; the shortcut
    an average-pool, a 1x1 convolution and batch norm. (N, C_in, H, W) -> (N, 4 C, H/s, W/s)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        channels_out = channels * BOTTLENECK_EXPANSION
        self.conv1 = conv2d_same(channels_in, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels, **NORM)
        self.conv2 = conv2d_same(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels, **NORM)
        self.conv3 = conv2d_same(channels, channels_out, 1)
        self.bn3 = nn.BatchNorm2d(channels_out, gamma_init="zeros", **NORM)
        self.relu = nn.ReLU()
        self.down_sample_layer: nn.Cell | None = None
        if stride != 1 or channels_in != channels_out:
            self.down_sample_layer = nn.SequentialCell(
                [
                    nn.AvgPool2d(stride, stride, pad_mode="same"),
                    conv2d_same(channels_in, channels_out, 1),
                    nn.BatchNorm2d(channels_out, **NORM),
                ]
            )

    def construct(self, x_NCHW: Tensor) -> Tensor:
        y_NCHW = self.relu(self.bn1(self.conv1(x_NCHW)))
        y_NCHW = self.relu(self.bn2(self.conv2(y_NCHW)))
        y_NCHW = self.bn3(self.conv3(y_NCHW))
        if self.down_sample_layer is not None:
            x_NCHW = self.down_sample_layer(x_NCHW)
        return self.relu(x_NCHW + y_NCHW)


class GloreResNet50(nn.Cell):
    """float32 image_NCHW, already normalised -> logits_NK. An image may come as a clip_NCTHW of one frame.

    With H = W = 224 the stages give 256x56x56, 512x28x28, 1024x14x14 and 2048x7x7 at width 1.
    """

    def __init__(self, num_classes: int, width: float, use_glore: bool, float16_units: bool) -> None:
        super().__init__()
        first, second, third = STEM_CHANNELS
        self.conv1 = nn.SequentialCell(
            OrderedDict(
                conv_1=conv2d_same(3, first, 3, 2),
                bn1=nn.BatchNorm2d(first, **NORM),
                relu1=nn.ReLU(),
                conv_2=conv2d_same(first, second, 3),
                bn2=nn.BatchNorm2d(second, **NORM),
                relu2=nn.ReLU(),
                conv_3=conv2d_same(second, third, 3),
            )
        )
        self.bn1 = nn.BatchNorm2d(third, **NORM)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="same")
        stages = []
        channels_in = third
        for stage, count in enumerate(DEPTHS[50][1], start=1):
            channels = int(STAGE_CHANNELS[stage - 1] * width)
            cells = []
            for i in range(1, count + 1):
                cells.append(PooledBlock(channels_in, channels, 2 if stage > 1 and i == 1 else 1))
                channels_in = channels * BOTTLENECK_EXPANSION
                if use_glore and i in UNITS[50].get(stage, ()):
                    cells.append(GlobalReasoning(channels_in, 2, float16_units))
            stages.append(nn.SequentialCell(cells))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.end_point = nn.Dense(channels_in, num_classes)

    def construct(self, image_NCHW: Tensor) -> Tensor:
        x_NCHW = self.maxpool(self.relu(self.bn1(self.conv1(single_frame(image_NCHW)))))
        x_NCHW = self.layer4(self.layer3(self.layer2(self.layer1(x_NCHW))))
        return self.end_point(x_NCHW.mean((2, 3)))


class NormReluConv(nn.Cell):
    """Batch norm, relu, convolution."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels_in, **NORM)
        self.relu = nn.ReLU()
        self.conv = conv2d(channels_in, channels_out, kernel, stride)

    def construct(self, x_NCHW: Tensor) -> Tensor:
        return self.conv(self.relu(self.bn(x_NCHW)))


class NormFirstBlock(nn.Cell):
    """shortcut(x) + F(x) (arXiv:1603.05027, fig. 4e): F is a bottleneck with the stride on the 3x3; a stage's first block
    has a convolution for its shortcut. (N, C_in, H, W) -> (N, 4 C, H/s, W/s)."""

    def __init__(self, channels_in: int, channels: int, stride: int, is_first: bool) -> None:
        super().__init__()
        channels_out = channels * BOTTLENECK_EXPANSION
        self.BN_AC_Conv1 = NormReluConv(channels_in, channels, 1)
        self.BN_AC_Conv2 = NormReluConv(channels, channels, 3, stride)
        self.BN_AC_Conv3 = NormReluConv(channels, channels_out, 1)
        self.BN_AC_Conv_w = NormReluConv(channels_in, channels_out, 1, stride) if is_first else None

    def construct(self, x_NCHW: Tensor) -> Tensor:
        y_NCHW = self.BN_AC_Conv3(self.BN_AC_Conv2(self.BN_AC_Conv1(x_NCHW)))
        if self.BN_AC_Conv_w is not None:
            x_NCHW = self.BN_AC_Conv_w(x_NCHW)
        return x_NCHW + y_NCHW


class GloreResNetNormFirst(nn.Cell):
    """float32 image_NCHW, already normalised -> logits_NK, depth 101 or 200. An image may come as a clip_NCTHW of one frame.
    The stages, layer2 to layer5, have the shapes of depth 50's."""

    def __init__(self, depth: int, num_classes: int, width: float, use_glore: bool, float16_units: bool) -> None:
        super().__init__()
        channels_in = STEM_CHANNELS[-1]
        self.layer1 = nn.SequentialCell(
            OrderedDict(
                conv=conv2d(3, channels_in, 7, 2),
                bn=nn.BatchNorm2d(channels_in, **NORM),
                relu=nn.ReLU(),
                maxpool=nn.MaxPool2d(3, 2, pad_mode="same"),
            )
        )
        stages = []
        for stage, count in enumerate(DEPTHS[depth][1], start=1):
            channels = int(STAGE_CHANNELS[stage - 1] * width)
            cells = OrderedDict()
            for i in range(1, count + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                cells[f"Residual_Unit{i}"] = NormFirstBlock(channels_in, channels, stride, is_first=i == 1)
                channels_in = channels * BOTTLENECK_EXPANSION
                if use_glore and i in UNITS[depth].get(stage, ()):
                    cells[f"Residual_Unit{i}_GloreUnit"] = GlobalReasoning(channels_in, 2, float16_units)
            stages.append(nn.SequentialCell(cells))
        self.layer2, self.layer3, self.layer4, self.layer5 = stages
        self.tail = nn.SequentialCell(OrderedDict(bn=nn.BatchNorm2d(channels_in, **NORM), relu=nn.ReLU()))
        self.classifier = nn.Dense(channels_in, num_classes)

    def construct(self, image_NCHW: Tensor) -> Tensor:
        x_NCHW = self.layer5(self.layer4(self.layer3(self.layer2(self.layer1(single_frame(image_NCHW))))))
        return self.classifier(self.tail(x_NCHW).mean((2, 3)))


def initialise(network: nn.Cell, weight_init: str) -> None:
    """Draw new weights for all convolutions and the head; units begin as the identity again.

    The new values are set: to give a parameter another initialiser, as the zoo does, changes nothing on MindSpore 2.
    """
    for _, cell in network.cells_and_names():
        if isinstance(cell, (nn.Conv2d, nn.Dense)):
            cell.weight.set_data(initializer(INITIALIZERS[weight_init](), cell.weight.shape, cell.weight.dtype))
    for _, cell in network.cells_and_names():
        if isinstance(cell, GlobalReasoning):
            cell.begin_as_identity()


def glore_resnet(
    num_classes: int,
    depth: int = 50,
    width: float = 1.0,
    use_glore: bool = True,
    float16_units: bool = True,
    weight_init: str = "xavier",
) -> nn.Cell:
    """GloRe-ResNet of arXiv:1811.12814 for images, as the MindSpore model zoo has it.

    Args:
        num_classes: length of the logits, K.
        depth: 50, 101 or 200.
        width: multiplies the stages' channel counts, not the stem's; 1 is the paper's network.
        use_glore: with the Global Reasoning units, or the plain network.
        float16_units: whether the units multiply in float16, as the zoo's, or in the precision of the rest.
        weight_init: xavier (uniform), he_normal or he_uniform: how the weights are drawn.

    Raises:
        InputError: an option is out of its range.
    """
    if depth not in UNITS:
        raise InputError(f"glore_resnet has no depth {depth}: choose one of {', '.join(map(str, UNITS))}")
    if int(STAGE_CHANNELS[0] * width) < 1:
        raise InputError(f"width {width} leaves no channels: {1 / STAGE_CHANNELS[0]} is the least")
    if weight_init not in INITIALIZERS:
        raise InputError(f"glore_resnet has no weight_init {weight_init!r}: choose one of {', '.join(INITIALIZERS)}")
    if depth == 50:
        network = GloreResNet50(num_classes, width, use_glore, float16_units)
    else:
        network = GloreResNetNormFirst(depth, num_classes, width, use_glore, float16_units)
    initialise(network, weight_init)
    return network


class GloreResNet3D(ResNet3D):
    """float32 clip_NCTHW, already normalised -> logits_NK: ResNet3D-50 with units in its third stage."""

    def after_block(self, stage: int, i: int, channels: int) -> list[nn.Cell]:
        return [GlobalReasoning(channels, 3, float16=False)] if i in UNITS[50].get(stage, ()) else []


def glore_resnet3d(num_classes: int, **options: Any) -> GloreResNet3D:
    """ResNet3D-50 with Global Reasoning units after blocks 1, 3 and 5 of layer3, where the paper's network for Kinetics has
    its own (arXiv:1811.12814, section 4). Options and errors are those of `resnet3d`, the one depth is 50."""
    return build(GloreResNet3D, "glore_resnet3d", (50,), num_classes, options)
