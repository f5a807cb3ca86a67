"""R(2+1)D: ResNet3D with every 3-D convolution factored into one over space and one over time.

Source: Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", 2018, arXiv:1711.11248,
section 3.5; stem, stages and parameter names as in Kataoka et al., 2020, arXiv:2004.04968 (`layer1.0.conv1_s.weight`).
"""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn

from train.models.resnet3d import DEPTHS, ResNet3D, build, conv3d, new_shortcut


def mid_channels(channels_in: int, channels_out: int, t: int, d: int) -> int:
    """Channels between the two factors of a t x d x d convolution, M = floor(t d^2 C_in C_out / (d^2 C_in + t C_out)):
    the most with which they have no more weights than it (arXiv:1711.11248, section 3.5)."""
    return t * d * d * channels_in * channels_out // (d * d * channels_in + t * channels_out)


class FactoredBlock(nn.Cell):
    """The residual block of ResNet3D, each 3x3x3 convolution a 1x3x3 (`_s`), batch norm, relu and a 3x1x1 (`_t`); the stride
    in space is on the first, in time on the second. (N, C_in, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""

    def __init__(
        self, channels_in: int, channels: int, stride: int, expansion: int, shortcut_type: str, last_gamma: str
    ) -> None:
        super().__init__()
        channels_out = channels * expansion
        self.bottleneck = expansion > 1
        if self.bottleneck:
            self.conv1 = conv3d(channels_in, channels, 1)
            self.bn1 = nn.BatchNorm3d(channels)
            self.conv3 = conv3d(channels, channels_out, 1)
            self.bn3 = nn.BatchNorm3d(channels_out, gamma_init=last_gamma)
        else:
            mid = mid_channels(channels_in, channels, 3, 3)
            self.conv1_s = conv3d(channels_in, mid, (1, 3, 3), (1, stride, stride))
            self.bn1_s = nn.BatchNorm3d(mid)
            self.conv1_t = conv3d(mid, channels, (3, 1, 1), (stride, 1, 1))
            self.bn1_t = nn.BatchNorm3d(channels)
        mid = mid_channels(channels, channels, 3, 3)
        stride2 = stride if self.bottleneck else 1
        self.conv2_s = conv3d(channels, mid, (1, 3, 3), (1, stride2, stride2))
        self.bn2_s = nn.BatchNorm3d(mid)
        self.conv2_t = conv3d(mid, channels, (3, 1, 1), (stride2, 1, 1))
        self.bn2_t = nn.BatchNorm3d(channels, gamma_init="ones" if self.bottleneck else last_gamma)
        self.relu = nn.ReLU()
        self.downsample = new_shortcut(channels_in, channels_out, stride, shortcut_type)

    def construct(self, x_NCTHW: Tensor) -> Tensor:
        if self.bottleneck:
            y_NCTHW = self.relu(self.bn1(self.conv1(x_NCTHW)))
        else:
            y_NCTHW = self.relu(self.bn1_s(self.conv1_s(x_NCTHW)))
            y_NCTHW = self.relu(self.bn1_t(self.conv1_t(y_NCTHW)))
        y_NCTHW = self.relu(self.bn2_s(self.conv2_s(y_NCTHW)))
        y_NCTHW = self.bn2_t(self.conv2_t(y_NCTHW))
        if self.bottleneck:
            y_NCTHW = self.bn3(self.conv3(self.relu(y_NCTHW)))
        if self.downsample is not None:
            x_NCTHW = self.downsample(x_NCTHW)
        return self.relu(x_NCTHW + y_NCTHW)


class ResNet2p1d(ResNet3D):
    """float32 clip_NCTHW, already normalised -> logits_NK. The stages' shapes are those of ResNet3D."""

    block = FactoredBlock

    def make_stem(self, channels: int, t_size: int, t_stride: int) -> None:
        mid = mid_channels(3, channels, t_size, 7)
        self.conv1_s = conv3d(3, mid, (1, 7, 7), (1, 2, 2))
        self.bn1_s = nn.BatchNorm3d(mid)
        self.conv1_t = conv3d(mid, channels, (t_size, 1, 1), (t_stride, 1, 1))
        self.bn1_t = nn.BatchNorm3d(channels)

    def stem(self, clip_NCTHW: Tensor) -> Tensor:
        x_NCTHW = self.relu(self.bn1_s(self.conv1_s(clip_NCTHW)))
        return self.relu(self.bn1_t(self.conv1_t(x_NCTHW)))


def resnet2p1d(num_classes: int, **options: Any) -> ResNet2p1d:
    """R(2+1)D of arXiv:1711.11248 in the form of arXiv:2004.04968, whose authors publish weights of depths 18, 34 and 50.
    Options, depths and errors are those of `resnet3d`."""
    return build(ResNet2p1d, "resnet2p1d", DEPTHS, num_classes, options)
