"""What one training step computes: loss, gradients and the update of the weights, as one graph."""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import nn, ops
from numpy.typing import NDArray

from train.config import OptimizerConfig, Recipe
from train.models.from_bytes import FromBytes
from train.schedule import learning_rates

TOTALS = "totals"


def new_step(network: nn.Cell, recipe: Recipe, steps_per_epoch: int) -> nn.Cell:
    """The recipe's training step of `network`: uint8 clip_NTHWC, label_N, weight_N -> loss, and the weights are updated.

    All that a run carries from step to step is among the cell's parameters.
    """
    rates = learning_rates(recipe.schedule, recipe.epochs, steps_per_epoch)
    loss = WeightedLoss(network, recipe)
    return nn.TrainOneStepCell(loss, make_optimizer(network, recipe.optimizer, rates)).set_train()


def make_optimizer(network: nn.Cell, config: OptimizerConfig, rates: NDArray[Any]) -> nn.Optimizer:
    """The recipe's optimiser over all trainable parameters, one learning rate a step.

    Batch norm's parameters and biases are spared the weight decay unless the recipe says otherwise.
    """
    weights: list[ms.Parameter] = []
    others: list[ms.Parameter] = []
    for parameter in network.trainable_params():
        (weights if parameter.ndim > 1 or config.decay_norm_and_bias else others).append(parameter)
    groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if config.name == "adamw":
        return nn.AdamWeightDecay(groups, learning_rate=ms.Tensor(rates), beta1=config.momentum, beta2=config.beta2)
    return nn.SGD(groups, learning_rate=ms.Tensor(rates), momentum=config.momentum, nesterov=config.nesterov)


def averaged(step: nn.Cell) -> dict[str, ms.Tensor] | None:
    """The averaged weights of a training step under the network's own names; None where it does not average."""
    return None


def totals(step: nn.Cell) -> ms.Parameter:
    """What a training step adds up until it is set to zero: loss, hits and clips, (3,) float32, padding left out."""
    (found,) = (parameter for parameter in step.get_parameters() if parameter.name == TOTALS)
    return found


class WeightedLoss(nn.Cell):
    """uint8 clip_NTHWC, label_N, weight_N -> the weighted mean of the clips' softmax cross-entropy, with label smoothing
    (arXiv:1512.00567, section 7). A batch of padding alone has the loss 0. Counts into `totals`."""

    def __init__(self, network: nn.Cell, recipe: Recipe) -> None:
        super().__init__(auto_prefix=False)
        self.logits = FromBytes(network, recipe.clip.mean, recipe.clip.std)
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing, reduction="none")
        self.totals = ms.Parameter(ops.zeros(3, ms.float32), name=TOTALS, requires_grad=False)

    def construct(self, clip_NTHWC: ms.Tensor, label_N: ms.Tensor, weight_N: ms.Tensor) -> ms.Tensor:
        logits_NK = self.logits(clip_NTHWC)
        loss_N = self.loss(logits_NK, label_N)
        hit_N = (logits_NK.argmax(axis=1) == label_N).astype(weight_N.dtype)
        ops.assign_add(self.totals, ops.stack([(loss_N * weight_N).sum(), (hit_N * weight_N).sum(), weight_N.sum()]))
        return (loss_N * weight_N).sum() / ops.clamp(weight_N.sum(), min=1.0)
