"""Batch norm over the clips of all devices together, by AllReduce: MindSpore's own SyncBatchNorm has no CPU kernel."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm (arXiv:1502.03167, algorithm 1) of x_NCHW, in training by the mean and variance over all ranks' batches.

    Takes over the parameters of `norm`, under their names. Every rank's batch has the same shape.
    """

    def __init__(self, norm: nn.BatchNorm2d, ranks: int) -> None:
        super().__init__(norm.num_features, eps=norm.eps)
        self.gamma = norm.gamma
        self.beta = norm.beta
        self.moving_mean = norm.moving_mean
        self.moving_variance = norm.moving_variance
        self.new_share = norm.momentum  # which is 1 - the momentum it was made with
        self.ranks = ranks
        self.all_reduce = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return self.bn_infer(x_NCHW, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        n, c, h, w = x_NCHW.shape
        count = n * h * w * self.ranks
        mean_C = self.all_reduce(x_NCHW.sum((0, 2, 3))) / count
        centred_NCHW = x_NCHW - mean_C.reshape(1, c, 1, 1)
        variance_C = self.all_reduce((centred_NCHW * centred_NCHW).sum((0, 2, 3))) / count
        unbiased_C = ops.stop_gradient(variance_C) * (count / max(count - 1, 1))
        ops.assign(self.moving_mean, (1 - self.new_share) * self.moving_mean + self.new_share * ops.stop_gradient(mean_C))
        ops.assign(self.moving_variance, (1 - self.new_share) * self.moving_variance + self.new_share * unbiased_C)
        scale_C = self.gamma * ops.rsqrt(variance_C + self.eps)
        return centred_NCHW * scale_C.reshape(1, c, 1, 1) + self.beta.reshape(1, c, 1, 1)


def synchronise(network: nn.Cell, ranks: int) -> None:
    """Put SyncBatchNorm in the place of every BatchNorm2d, those inside BatchNorm3d too, that uses the batch's statistics.

    Parameters keep their names.
    """
    for _, cell in list(network.cells_and_names()):
        for name, inner in cell.name_cells().items():
            if isinstance(inner, nn.BatchNorm2d) and inner.use_batch_statistics is None:
                cell.insert_child_to_cell(name, SyncBatchNorm(inner, ranks))
        if isinstance(cell, nn.SequentialCell):
            cell.cell_list = list(cell.cells())
