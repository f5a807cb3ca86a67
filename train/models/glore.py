"""The Global Reasoning unit: a graph convolution between regions of an image or a clip that may lie far apart.

Source: Chen et al., "Graph-Based Global Reasoning Networks", CVPR 2019, arXiv:1811.12814, section 3, in the form of the
MindSpore model zoo, whose parameter names it has.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import initializer

# MindSpore's momentum is the share that a running statistic keeps
NORM = {"eps": 1e-4, "momentum": 0.92}


def norm_relu_conv(channels_in: int, channels_out: int, dims: int) -> nn.SequentialCell:
    """Batch norm, relu and a convolution of one pixel, in `dims` dimensions."""
    if dims == 3:
        return nn.SequentialCell([nn.BatchNorm3d(channels_in, **NORM), nn.ReLU(), nn.Conv3d(channels_in, channels_out, 1)])
    return nn.SequentialCell([nn.BatchNorm2d(channels_in, **NORM), nn.ReLU(), nn.Conv2d(channels_in, channels_out, 1)])


class GraphConvolution(nn.Cell):
    """x_NSM, S states of M nodes -> the same shape: W_s relu(x + x W_m). Nodes speak with each other, then each changes its
    state."""

    def __init__(self, states: int, nodes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(nodes, nodes, 1)
        self.conv2 = nn.Conv2d(states, states, 1)
        self.relu = nn.ReLU()

    def construct(self, x_NSM: Tensor) -> Tensor:
        x_NSM1 = x_NSM.expand_dims(3)
        spoken_NSM1 = self.conv1(x_NSM1.swapaxes(1, 2)).swapaxes(1, 2)
        return self.conv2(self.relu(x_NSM1 + spoken_NSM1)).squeeze(3)


class GlobalReasoning(nn.Cell):
    """(N, C, H, W) or, with `dims` 3, (N, C, T, H, W) -> the same shape: x + extend(graph(project(x))).

    Each of M = C/4 nodes gathers S = 2C/4 states from all positions L, by weights that depend on x; they are reasoned on and
    handed back to the positions by the same weights.

    The products with the weights are sums over all positions and grow with the cube of x. With `float16` they are taken in
    that type, as by the zoo, and are lost above 65,504; otherwise in the type of x.
    """

    def __init__(self, channels: int, dims: int, float16: bool) -> None:
        super().__init__()
        self.float16 = float16
        self.nodes = channels // 4
        self.states = 2 * self.nodes
        self.conv_state = norm_relu_conv(channels, self.states, dims)
        self.conv_proj = norm_relu_conv(channels, self.nodes, dims)
        self.gcn = GraphConvolution(self.states, self.nodes)
        self.conv_extend = norm_relu_conv(self.states, channels, dims)
        self.begin_as_identity()

    def begin_as_identity(self) -> None:
        """Set the last convolution to zero. The zoo sets the gamma before it to zero: the relu between them then sees only
        zeros, has no gradient, and the unit never learns."""
        weight = self.conv_extend[2].weight
        weight.set_data(initializer("zeros", weight.shape, weight.dtype))

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of two matrices, for each of the batch."""
        if self.float16:
            return ops.bmm(a.astype(ms.float16), b.astype(ms.float16)).astype(a.dtype)
        return ops.bmm(a, b)

    def construct(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        state_NSL = self.conv_state(x).reshape((n, self.states, -1))
        weight_NML = self.conv_proj(x).reshape((n, self.nodes, -1))
        node_NSM = self.gcn(self.multiply(state_NSL, weight_NML.swapaxes(1, 2)))
        y_NSL = self.multiply(node_NSM, weight_NML)
        return x + self.conv_extend(y_NSL.reshape((n, self.states, *x.shape[2:])))
