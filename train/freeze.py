"""Freezing a network's first stages, so that a step computes nothing for them but their output."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from preprocess.common.errors import InputError, nearest


class StopGradient(nn.Cell):
    """The first stage that trains. No gradient leaves it for what comes before."""

    def __init__(self, stage: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.stage = stage

    def construct(self, x: Tensor) -> Tensor:
        return self.stage(ops.stop_gradient(x))


def freeze(network: nn.Cell, until: str, frozen_bn: str = "eval") -> None:
    """Freeze every stage of `network` before `until`: no gradient is computed for them, their parameters do not train.

    Stages are the network's own cells that hold parameters, in the order in which it applies them: conv1, bn1, layer1 to
    layer4, fc. With `frozen_bn` "eval" the frozen stages' batch norm uses its running statistics and leaves them as they
    are, whatever `set_train` says; with "train" it keeps normalising by the batch and following it, as in the code of
    arXiv:2004.04968. Parameters keep their names.

    Raises:
        InputError: the network has no such stage.
    """
    stages = {name: cell for name, cell in network.name_cells().items() if any(True for _ in cell.get_parameters())}
    if until not in stages:
        raise InputError(
            f"freeze_until: the network has no stage {until!r}{nearest(until, stages)} The stages: {', '.join(stages)}"
        )
    for name, cell in stages.items():
        if name == until:
            break
        for parameter in cell.get_parameters():
            parameter.requires_grad = False
        if frozen_bn == "eval":
            for _, inner in cell.cells_and_names():
                if isinstance(inner, nn.BatchNorm1d | nn.BatchNorm2d):  # BatchNorm3d holds one of 2-D
                    inner.use_batch_statistics = False  # unlike `training`, Model leaves it alone
    network.insert_child_to_cell(until, StopGradient(stages[until]))
