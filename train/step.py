"""What one training step computes: loss, gradients and the update of the weights, as one graph."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray

from preprocess.common.errors import InputError
from train import devices
from train.config import OptimizerConfig, Recipe
from train.freeze import freeze
from train.models.normalize_input import NormalizeInput
from train.models.sync_batch_norm import synchronise
from train.schedule import learning_rates

EMA = "ema"
TOTALS = "totals"
LEAST_SCALE, MOST_SCALE = 1.0, 2.0**32  # divided by a much greater one gradients would be lost to float32
STEPS_TO_DOUBLE = 2000
"""Updates without overflow after which a dynamic loss scale is doubled (arXiv:1710.03740, section 3.2)."""


def new_step(network: nn.Cell, recipe: Recipe, steps_per_epoch: int, ranks: int = 1) -> nn.Cell:
    """The recipe's training step of `network`: uint8 clip_NTHWC (or image_NHWC), int32 label_N, float32 weight_N -> the mean
    loss of this rank's clips, by weight; and the weights are updated.

    All that a run carries from step to step is among the cell's parameters. Changes `network`: stages are frozen, batch
    norms synchronised and precisions set as the recipe says.

    Raises:
        InputError: a stage that the network does not have, or something that the device cannot do.
    """
    if recipe.freeze_until is not None:
        freeze(network, recipe.freeze_until, recipe.frozen_bn)
    if recipe.sync_bn and ranks > 1:
        synchronise(network, ranks)
    logits = devices.cast_network(network, recipe.precision)
    return TrainingStep(network, WeightedLoss(logits, recipe), recipe, steps_per_epoch, ranks).set_train()


def averaged(step: nn.Cell) -> dict[str, Tensor] | None:
    """The moving average of the network's parameters under the network's own names, or None when the recipe keeps none."""
    prefix = f"{EMA}."
    found = {p.name.removeprefix(prefix): p for p in step.get_parameters() if p.name.startswith(prefix)}
    return found or None


def totals(step: nn.Cell) -> ms.Parameter:
    """What a training step adds up until it is set to zero: loss, hits and clips, padding left out, and the steps before the
    loss was not finite; (4,) float32."""
    (found,) = (parameter for parameter in step.get_parameters() if parameter.name == TOTALS)
    return found


def make_optimizer(network: nn.Cell, config: OptimizerConfig, rates: NDArray[Any]) -> nn.Optimizer:
    """The recipe's optimiser over all trainable parameters, one learning rate an update.

    Batch norm's parameters and biases are spared the weight decay unless the recipe says otherwise.
    """
    weights: list[ms.Parameter] = []
    others: list[ms.Parameter] = []
    for parameter in network.trainable_params():
        (weights if parameter.ndim > 1 or config.decay_norm_and_bias else others).append(parameter)
    groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if config.name == "adamw":
        return adamw(groups, config, rates)
    rate = Tensor(rates)
    if config.name == "momentum" and not config.nesterov:  # on the CPU nn.Momentum takes no notice of Nesterov
        return nn.Momentum(groups, rate, config.momentum)
    return nn.SGD(groups, learning_rate=rate, momentum=config.momentum, nesterov=config.nesterov)


def adamw(groups: list[dict[str, Any]], config: OptimizerConfig, rates: NDArray[Any]) -> nn.Optimizer:
    """AdamW (arXiv:1711.05101, algorithm 2).

    nn.AdamWeightDecay does not correct the moments' bias towards zero: with beta2 0.999 its 12th step is 6.6 times as long
    as it should be, the 1000th 1.3 times. Here the rates make up for that, and the decay for what they then do to it.
    mindspore.experimental.optim.AdamW does correct it, but keeps a third tensor a weight and wants its own schedulers.
    """
    t = np.arange(1, len(rates) + 1)
    correction = np.sqrt(1 - config.beta2**t) / (1 - config.momentum**t)
    for group in groups:
        if group["weight_decay"]:
            group["weight_decay"] = PerStepValue(group["weight_decay"] / correction)
    return nn.AdamWeightDecay(
        groups, Tensor((rates * correction).astype(np.float32)), config.momentum, config.beta2, eps=1e-8
    )


class PerStepValue(nn.Cell):
    """A value that an optimiser reads at each of its steps."""

    def __init__(self, values: NDArray[Any]) -> None:
        super().__init__()
        self.values = Tensor(values.astype(np.float32))

    def construct(self, step: Tensor) -> Tensor:
        return ops.gather(self.values, step, 0).reshape(())


def mixup_shares(alpha: float, seed: int, steps: int) -> NDArray[np.float32]:
    """The share of a clip that remains in each step's mixture, drawn from Beta(alpha, alpha) by seed and step."""
    return np.random.default_rng([seed, 1]).beta(alpha, alpha, steps).astype(np.float32)


class WeightedLoss(nn.Cell):
    """uint8 clip_NTHWC, label_N, weight_N, share -> the weighted sum of the clips' softmax cross-entropy, with label
    smoothing (arXiv:1512.00567, section 7).

    With mixup (arXiv:1710.09412, eq. 1) each clip is `share` itself and for the rest the clip before it in the batch, in
    pixels and in loss. A clip whose neighbour is padding stays as it is.

    Counts into `totals`, with mixup a hit where the clip's own label wins.
    """

    def __init__(self, logits: nn.Cell, recipe: Recipe) -> None:
        super().__init__(auto_prefix=False)
        self.logits = NormalizeInput(logits, recipe.clip.mean, recipe.clip.std)
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing, reduction="none")
        self.mixup = recipe.mixup > 0
        self.totals = ms.Parameter(ops.zeros(4, ms.float32), name=TOTALS, requires_grad=False)

    def construct(self, clip_NTHWC: Tensor, label_N: Tensor, weight_N: Tensor, share: Tensor) -> Tensor:
        if not self.mixup:
            logits_NK = self.logits(clip_NTHWC)
            return self.counted(logits_NK, self.loss(logits_NK, label_N), label_N, weight_N)
        share_N = ops.where(before(weight_N) > 0, share, ops.ones_like(share))
        share_N1111 = share_N.reshape(-1, 1, 1, 1, 1)
        clip_NTHWC = clip_NTHWC.astype(ms.float32)
        logits_NK = self.logits(share_N1111 * clip_NTHWC + (1 - share_N1111) * before(clip_NTHWC))
        loss_N = share_N * self.loss(logits_NK, label_N) + (1 - share_N) * self.loss(logits_NK, before(label_N))
        return self.counted(logits_NK, loss_N, label_N, weight_N)

    def counted(self, logits_NK: Tensor, loss_N: Tensor, label_N: Tensor, weight_N: Tensor) -> Tensor:
        """The weighted sum of the losses, added to the totals with hits, clips and whether the losses so far are finite."""
        loss = (loss_N * weight_N).sum()
        hits = ((logits_NK.argmax(axis=1) == label_N).astype(weight_N.dtype) * weight_N).sum()
        finite = ops.isfinite(self.totals[0] + loss).astype(weight_N.dtype)
        ops.assign_add(self.totals, ops.stack([loss, hits, weight_N.sum(), finite]))
        return loss


class TrainingStep(nn.Cell):
    """uint8 clip_NTHWC, label_N, weight_N -> the loss, after the update of the weights. See `new_step`.

    The gradient is that of sum(weight loss) / sum(weight), both sums over all ranks and over the steps that are gathered
    into one update: the same as one process would compute on all those clips together.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell, recipe: Recipe, steps_per_epoch: int, ranks: int) -> None:
        super().__init__(auto_prefix=False)
        config = recipe.optimizer
        steps = recipe.epochs * steps_per_epoch
        if config.accumulate > steps:
            raise InputError(f"optimizer.accumulate is {config.accumulate}, but the run has only {steps} steps: lower it")
        # an update takes the rate of the last of its steps
        rates = learning_rates(recipe.schedule, recipe.epochs, steps_per_epoch)[config.accumulate - 1 :: config.accumulate]
        self.loss = loss
        self.optimizer = make_optimizer(network, config, rates)
        self.weights = self.optimizer.parameters
        self.loss_and_gradients = ms.value_and_grad(self.scaled_loss, None, self.weights, has_aux=True)
        self.clips = recipe.batch_size
        self.ranks = ranks
        self.clip_norm = config.clip_norm
        self.accumulate = config.accumulate
        self.step = state(0, "step", ms.int32)
        self.shares = Tensor(mixup_shares(recipe.mixup, recipe.seed, steps) if recipe.mixup else np.ones(1, np.float32))
        self.mixup = recipe.mixup > 0
        self.map = ops.HyperMap()
        if ranks > 1:
            self.reduce_gradients = nn.DistributedGradReducer(self.weights, mean=False, degree=ranks)
            self.all_reduce = ops.AllReduce(ops.ReduceOp.SUM)
        if self.accumulate > 1:
            self.gathered = self.weights.clone("gathered", init="zeros")
            self.gathered_weight = state(0.0, "gathered_weight", ms.float32)
        self.dynamic = recipe.precision.dynamic
        self.scale: Any = recipe.precision.loss_scale
        if self.dynamic:
            self.scale = state(recipe.precision.loss_scale, "loss_scale", ms.float32)
            self.without_overflow = state(0, "without_overflow", ms.int32)
        self.ema_decay = config.ema_decay
        if self.ema_decay:
            self.followed = ms.ParameterTuple(network.get_parameters())
            self.average = self.followed.clone(EMA, init="same")
            for parameter in self.average:
                parameter.requires_grad = False

    def construct(self, clip_NTHWC: Tensor, label_N: Tensor, weight_N: Tensor) -> Tensor:
        share = ops.gather(self.shares, self.step, 0) if self.mixup else self.shares[0]
        (_, loss_sum), gradients = self.loss_and_gradients(clip_NTHWC, label_N, weight_N, share)
        weight = weight_N.sum()
        loss = loss_sum / ops.maximum(weight, 1.0)
        if self.accumulate == 1:
            self.update(gradients, weight)
        else:
            self.map(ops.assign_add, self.gathered, gradients)
            ops.assign_add(self.gathered_weight, weight)
            if (self.step + 1) % self.accumulate == 0:
                self.update(self.gathered, self.gathered_weight)
                self.map(clear, self.gathered)
                clear(self.gathered_weight)
        ops.assign_add(self.step, 1)
        return loss

    def scaled_loss(self, clip_NTHWC: Tensor, label_N: Tensor, weight_N: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """What is differentiated, and the sum of losses. A constant divides the first, the same on all ranks: through a
        synchronised batch norm a rank's gradients hold what it does to the others' losses."""
        loss_sum = self.loss(clip_NTHWC, label_N, weight_N, share)
        return loss_sum * (self.scale / self.clips), loss_sum

    def update(self, gradients: Any, weight: Tensor) -> Tensor:
        """One update of the weights from gradients of `scaled_loss` and the sum of the weights they belong to; returns that
        sum over all ranks. (Without a value to return, MindSpore leaves a branch's None to Python, on the host.)"""
        if self.ranks > 1:
            gradients = self.reduce_gradients(gradients)
            weight = self.all_reduce(weight)
        divisor = self.scale * ops.maximum(weight, 1.0) / self.clips
        if self.clip_norm:
            norm = ops.sqrt(ops.addn(self.map(squares, gradients))) / divisor
            divisor = divisor * ops.maximum(norm / self.clip_norm, 1.0)
        gradients = self.map(ops.partial(divided, divisor), gradients)
        if self.dynamic:
            finite = ms.amp.all_finite(gradients)
            if self.ranks > 1:  # a chip that saturates tells only the rank that overflowed
                finite = self.all_reduce(1.0 - finite.astype(ms.float32)) == 0
            scale, without_overflow = next_scale(self.scale, self.without_overflow, finite)
            if finite:
                self.optimizer(gradients)
            ops.assign(self.scale, scale)
            ops.assign(self.without_overflow, without_overflow)
        else:
            self.optimizer(gradients)
        if self.ema_decay:
            done = self.optimizer.global_step.astype(ms.float32)
            # the first ones weigh less, for they start anywhere
            decay = ops.minimum((1 + done) / (10 + done), self.ema_decay)
            self.map(ops.partial(follow, decay), self.average, self.followed)
        return weight


def state(value: float, name: str, kind: Any) -> ms.Parameter:
    """Something that a run carries from step to step besides the weights."""
    return ms.Parameter(Tensor(value, kind), name=name, requires_grad=False)


def next_scale(scale: Tensor, without_overflow: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
    """The dynamic loss scale, and the updates since it changed, after one whose gradients were `finite` or were not: doubled
    after `STEPS_TO_DOUBLE` that were, halved after one that was not. The rule is mindspore.amp.DynamicLossScaler's, but
    that knows no `MOST_SCALE`."""
    none = ops.zeros_like(without_overflow)
    in_a_row = ops.where(finite, without_overflow + 1, none)
    double = ops.equal(in_a_row, STEPS_TO_DOUBLE)
    grown = ops.where(double, ops.minimum(scale * 2, MOST_SCALE), scale)
    return ops.where(finite, grown, ops.maximum(scale / 2, LEAST_SCALE)), ops.where(double, none, in_a_row)


def before(batch: Tensor) -> Tensor:
    """The batch rolled by one: each element's predecessor, the last for the first."""
    return ops.concat((batch[-1:], batch[:-1]))


def clear(parameter: ms.Parameter) -> Any:
    """Set to zero."""
    return ops.assign(parameter, ops.zeros_like(parameter))


def squares(gradient: Tensor) -> Tensor:
    """Sum of squares."""
    return ops.square(gradient).sum()


def divided(divisor: Tensor, gradient: Tensor) -> Tensor:
    """A gradient, divided. Were it multiplied, MindSpore would rewrite AllReduce(gradient) * factor + decay to
    AllReduce(gradient + decay) * factor, as if every factor were 1 / ranks."""
    return gradient / divisor


def follow(decay: Tensor, average: ms.Parameter, parameter: ms.Parameter) -> Any:
    """One step of a moving average."""
    return ops.assign_add(average, (1 - decay) * (parameter - average))
