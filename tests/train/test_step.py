from __future__ import annotations

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from conftest import ROOT
from mindspore import nn

from preprocess.common.errors import InputError
from train import devices
from train.config import OptimizerConfig, PrecisionConfig, ScheduleConfig, load_recipe
from train.step import LEAST_SCALE, MOST_SCALE, WeightedLoss, averaged, mixup_shares, new_step, next_scale

CLASSES = 3
BATCH = 4
START = np.random.default_rng(7).normal(size=(CLASSES, 3)).astype(np.float32)
QUICK = load_recipe(ROOT / "train/recipes/quick_cpu.yaml")
PLAIN = replace(
    QUICK,
    optimizer=OptimizerConfig(name="sgd", momentum=0.9, weight_decay=0.0, decay_norm_and_bias=False),
    schedule=ScheduleConfig(curve="linear", learning_rate=0.5, warmup_epochs=0),
    epochs=2,
    batch_size=BATCH,
    label_smoothing=0.0,
)
STEPS_PER_EPOCH = 4
RATES = 0.5 * (1 - np.arange(8) / 8)
"""What PLAIN's schedule gives."""


class Linear(nn.Cell):
    """logits_NK of a clip: a dense layer over its mean red, green and blue. Its gradients are known by formula."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Dense(3, CLASSES, weight_init=ms.Tensor(START), bias_init="zeros")

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        return self.fc(clip_NCTHW.mean((2, 3, 4)))


class Small(nn.Cell):
    """A convolution, batch norm and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 4, 3)
        self.bn1 = nn.BatchNorm3d(4)
        self.fc = nn.Dense(4, CLASSES)

    def construct(self, clip_NCTHW: ms.Tensor) -> ms.Tensor:
        return self.fc(self.bn1(self.conv1(clip_NCTHW)).mean((2, 3, 4)))


pytestmark = pytest.mark.usefixtures("on_the_cpu")


def batches(count: int, clips: int = BATCH) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """So many batches of clip_NTHWC, label_N and weight_N, all weights 1."""
    rng = np.random.default_rng(3)
    return [
        (
            rng.integers(0, 256, (clips, 2, 4, 4, 3), np.uint8),
            rng.integers(0, CLASSES, clips).astype(np.int32),
            np.ones(clips, np.float32),
        )
        for _ in range(count)
    ]


def run(step: nn.Cell, data: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[float]:
    """The losses of training on these batches."""
    return [float(step(*map(ms.Tensor, batch)).asnumpy()) for batch in data]


def values(cell: nn.Cell) -> dict[str, np.ndarray]:
    return {parameter.name: parameter.asnumpy().copy() for parameter in cell.get_parameters()}


def features(clip_NTHWC: np.ndarray) -> np.ndarray:
    """Linear's input of its dense layer, float64."""
    return ((clip_NTHWC / 255 - QUICK.clip.mean) / QUICK.clip.std).mean((1, 2, 3))


def gradient(x_NC: np.ndarray, target_NK: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the mean softmax cross-entropy, by the formula."""
    logits = x_NC @ weight.T + bias
    softmax = np.exp(logits - logits.max(1, keepdims=True))
    off_NK = (softmax / softmax.sum(1, keepdims=True) - target_NK) / len(x_NC)
    return off_NK.T @ x_NC, off_NK.sum(0)


def by_formula(
    config: OptimizerConfig, data: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Linear's weight and bias after PLAIN's training by an optimiser, in float64."""
    theta = [START.astype(np.float64), np.zeros(CLASSES)]
    first = [np.zeros_like(value) for value in theta]
    second = [np.zeros_like(value) for value in theta]
    for t, (rate, (clip, label, _)) in enumerate(zip(RATES, data, strict=False), start=1):
        gradients = gradient(features(clip), np.eye(CLASSES)[label], *theta)
        for i, g in enumerate(gradients):
            decay = config.weight_decay if i == 0 or config.decay_norm_and_bias else 0.0
            if config.name == "adamw":
                first[i] = config.momentum * first[i] + (1 - config.momentum) * g
                second[i] = config.beta2 * second[i] + (1 - config.beta2) * g**2
                first_hat = first[i] / (1 - config.momentum**t)
                second_hat = second[i] / (1 - config.beta2**t)
                theta[i] = theta[i] - rate * (first_hat / (np.sqrt(second_hat) + 1e-8) + decay * theta[i])
            else:
                g = g + decay * theta[i]
                first[i] = config.momentum * first[i] + g
                theta[i] = theta[i] - rate * (g + config.momentum * first[i] if config.nesterov else first[i])
    return theta[0], theta[1]


@pytest.mark.parametrize(
    "config",
    [
        OptimizerConfig(name="sgd", momentum=0.9, weight_decay=0.01, decay_norm_and_bias=True, nesterov=True),
        OptimizerConfig(name="momentum", momentum=0.9, weight_decay=0.01, decay_norm_and_bias=True),
        OptimizerConfig(name="momentum", momentum=0.9, weight_decay=0.01, decay_norm_and_bias=False, nesterov=True),
        OptimizerConfig(name="adamw", momentum=0.9, weight_decay=0.1, decay_norm_and_bias=False),
    ],
    ids=lambda c: f"{c.name}{'_nesterov' * c.nesterov}{'_decay_all' * c.decay_norm_and_bias}",
)
def test_an_optimiser_follows_its_formula_with_the_schedules_rates(config: OptimizerConfig) -> None:
    network, data = Linear(), batches(4)
    run(new_step(network, replace(PLAIN, optimizer=config), STEPS_PER_EPOCH), data)
    weight, bias = by_formula(config, data)
    assert network.fc.weight.asnumpy() == pytest.approx(weight, rel=1e-4, abs=1e-5)
    assert network.fc.bias.asnumpy() == pytest.approx(bias, rel=1e-4, abs=1e-5)


def test_clips_of_weight_zero_leave_the_loss_as_it_is_without_them() -> None:
    clip_NTHWC, label_N, _ = batches(1)[0]
    loss = WeightedLoss(Linear(), QUICK)

    def of(clips: list[int], weights: list[float]) -> float:
        batch = clip_NTHWC[clips], label_N[clips], np.float32(weights), np.float32(1)
        return float(loss(*map(ms.Tensor, batch)).asnumpy())

    unweighted = nn.CrossEntropyLoss(label_smoothing=QUICK.label_smoothing, reduction="sum")
    logits_NK = loss.logits(ms.Tensor(clip_NTHWC))
    assert of([0, 1, 2, 3], [1, 1, 1, 1]) == pytest.approx(
        float(unweighted(logits_NK, ms.Tensor(label_N)).asnumpy()), rel=1e-5
    )
    assert of([0, 1, 2, 3], [1, 1, 0, 0]) == pytest.approx(of([0, 1, 3, 3], [1, 1, 0, 0]), rel=1e-6)
    assert of([0, 1, 2, 3], [1, 1, 0, 0]) == pytest.approx((of([0] * 4, [1] * 4) + of([1] * 4, [1] * 4)) / 4, rel=1e-5)
    assert of([0, 1, 2, 3], [0, 0, 0, 0]) == 0


def test_padding_changes_neither_loss_nor_update() -> None:
    data = batches(2)
    for _, _, weight_N in data:
        weight_N[2:] = 0
    short = [(clip[:2], label[:2], weight[:2]) for clip, label, weight in data]
    padded, unpadded = Linear(), Linear()
    losses = run(new_step(padded, PLAIN, STEPS_PER_EPOCH), data)
    assert losses == pytest.approx(run(new_step(unpadded, PLAIN, STEPS_PER_EPOCH), short), rel=1e-5)
    assert np.abs(padded.fc.weight.asnumpy() - unpadded.fc.weight.asnumpy()).max() < 1e-6
    assert losses[0] != losses[1]


def test_gathered_steps_update_as_one_step_on_all_their_clips() -> None:
    data = batches(4)
    data[1][2][1:] = 0  # the padded end of an epoch
    joined = [tuple(np.concatenate(pair) for pair in zip(*data[i : i + 2], strict=True)) for i in (0, 2)]
    gathering, at_once = Linear(), Linear()
    config = replace(PLAIN.optimizer, accumulate=2, weight_decay=0.01)
    step = new_step(gathering, replace(PLAIN, optimizer=config), STEPS_PER_EPOCH)
    run(step, data[:1])
    assert (gathering.fc.weight.asnumpy() == START).all()
    run(step, data[1:])
    assert np.abs(gathering.fc.weight.asnumpy() - START).max() > 0.01
    # an update has the rate of its last step: 0.4375, then 0.3125
    config = replace(config, accumulate=1)
    schedule = ScheduleConfig(curve="steps", learning_rate=0.4375, warmup_epochs=0, milestones=(1,), factor=5 / 7)
    other = replace(PLAIN, optimizer=config, batch_size=2 * BATCH, schedule=schedule)
    run(new_step(at_once, other, 1), joined)
    assert np.abs(gathering.fc.weight.asnumpy() - at_once.fc.weight.asnumpy()).max() < 1e-6


def test_gathering_more_steps_than_the_run_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"accumulate is 9, but the run has only 8 steps"):
        new_step(Linear(), replace(PLAIN, optimizer=replace(PLAIN.optimizer, accumulate=9)), STEPS_PER_EPOCH)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    network, (batch,) = Linear(), batches(1)
    of_weight, of_bias = gradient(features(batch[0]), np.eye(CLASSES)[batch[1]], START.astype(np.float64), np.zeros(CLASSES))
    norm = np.sqrt((of_weight**2).sum() + (of_bias**2).sum())
    config = replace(PLAIN.optimizer, clip_norm=norm / 4)
    run(new_step(network, replace(PLAIN, optimizer=config), STEPS_PER_EPOCH), [batch])
    assert np.abs(network.fc.weight.asnumpy() - (START - RATES[0] * of_weight / 4)).max() < 1e-6
    assert np.abs(network.fc.bias.asnumpy() + RATES[0] * of_bias / 4).max() < 1e-6


def test_a_dynamic_loss_scale_skips_an_overflow_and_halves_itself() -> None:
    network, (batch,) = Linear(), batches(1)
    clip = replace(PLAIN.clip, mean=(0.0,) * 3, std=(1e-30,) * 3)  # inputs so large that gradients overflow when scaled
    recipe = replace(PLAIN, precision=PrecisionConfig(level="O0", loss_scale=2.0**32, dynamic=True), clip=clip)
    step = new_step(network, recipe, STEPS_PER_EPOCH)
    (loss,) = run(step, [batch])
    assert np.isfinite(loss)
    assert (network.fc.weight.asnumpy() == START).all()
    assert values(step)["loss_scale"] == 2.0**31
    assert values(step)["global_step"] == 0
    while values(step)["without_overflow"] == 0:
        run(step, [batch])
    unscaled = Linear()
    run(new_step(unscaled, replace(recipe, precision=PrecisionConfig()), STEPS_PER_EPOCH), [batch])
    assert network.fc.weight.asnumpy() == pytest.approx(unscaled.fc.weight.asnumpy(), rel=1e-5)


@pytest.mark.parametrize(
    ("scale", "in_a_row", "finite", "expected"),
    [
        (1024.0, 7, True, (1024.0, 8)),
        (1024.0, 1999, True, (2048.0, 0)),
        (MOST_SCALE, 1999, True, (MOST_SCALE, 0)),
        (1024.0, 1999, False, (512.0, 0)),
        (LEAST_SCALE, 0, False, (LEAST_SCALE, 0)),
    ],
)
def test_the_loss_scale_doubles_after_2000_updates_and_halves_after_an_overflow(
    scale: float, in_a_row: int, finite: bool, expected: tuple[float, int]
) -> None:
    found = next_scale(ms.Tensor(scale, ms.float32), ms.Tensor(in_a_row, ms.int32), ms.Tensor(finite))
    assert [value.dtype for value in found] == [ms.float32, ms.int32]
    assert tuple(value.asnumpy().item() for value in found) == expected


def test_mixed_precision_computes_in_float16_and_updates_float32_weights() -> None:
    data = batches(1)
    ms.set_seed(1)
    exact = Small()
    ms.set_seed(1)
    mixed = Small()
    (loss,) = run(new_step(exact, PLAIN, STEPS_PER_EPOCH), data)
    step = new_step(mixed, replace(PLAIN, precision=PrecisionConfig(level="O2", loss_scale=128.0)), STEPS_PER_EPOCH)
    (mixed_loss,) = run(step, data)
    assert 0 < abs(mixed_loss - loss) < 0.01
    assert {p.dtype for p in mixed.get_parameters()} == {ms.float32}
    change = exact.conv1.weight.asnumpy() - mixed.conv1.weight.asnumpy()
    assert np.abs(change).max() < 0.01
    assert list(values(mixed)) == list(values(exact))


@pytest.mark.parametrize(("device", "level"), [("Ascend", "O2"), ("CPU", "O0")])
def test_unless_told_otherwise_the_precision_is_the_devices_own(
    device: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(ms, "get_context", {"device_target": device}.get)
    monkeypatch.setattr(ms.amp, "auto_mixed_precision", lambda network, level: taken.append(level))
    devices.cast_network(Small(), PrecisionConfig())
    assert taken == [level]


def test_the_moving_average_of_the_weights_follows_its_formula_under_the_networks_names() -> None:
    network, data = Small(), batches(3)
    step = new_step(network, replace(PLAIN, optimizer=replace(PLAIN.optimizer, ema_decay=0.25)), STEPS_PER_EPOCH)
    expected = values(network)
    for done, batch in enumerate(data, start=1):
        run(step, [batch])
        decay = min(0.25, (1 + done) / (10 + done))
        expected = {name: decay * expected[name] + (1 - decay) * value for name, value in values(network).items()}
    found = averaged(step)
    assert found is not None
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert np.abs(found[name].asnumpy() - value).max() < 1e-6
    assert averaged(new_step(Linear(), PLAIN, STEPS_PER_EPOCH)) is None


def test_mixup_mixes_pixels_and_losses_of_neighbours_but_nothing_into_padding() -> None:
    network, (batch,) = Linear(), batches(1)
    clip_NTHWC, label_N, weight_N = batch
    weight_N[3] = 0  # so that clip 0, whose neighbour it is, stays as it is
    share = mixup_shares(0.4, PLAIN.seed, 8)[0]
    shares = np.array([1, share, share])[:, None]
    x_NC = features(clip_NTHWC)
    x_NC = shares * x_NC[:3] + (1 - shares) * x_NC[[3, 0, 1]]
    one_hot = np.eye(CLASSES)[label_N]
    target_NK = shares * one_hot[:3] + (1 - shares) * one_hot[[3, 0, 1]]
    of_weight, _ = gradient(x_NC, target_NK, START.astype(np.float64), np.zeros(CLASSES))
    run(new_step(network, replace(PLAIN, mixup=0.4), STEPS_PER_EPOCH), [batch])
    assert 0 < share < 1
    assert np.abs(network.fc.weight.asnumpy() - (START - RATES[0] * of_weight)).max() < 1e-5


def test_mixups_shares_depend_on_seed_and_step_alone() -> None:
    shares = mixup_shares(0.2, 3, 1000)
    assert (mixup_shares(0.2, 3, 10) == shares[:10]).all()
    assert (mixup_shares(0.2, 4, 10) != shares[:10]).all()
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1))
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(1 / 5.6, abs=0.02)


def test_what_a_run_carries_is_among_the_steps_parameters() -> None:
    config = replace(PLAIN.optimizer, accumulate=2, ema_decay=0.9, clip_norm=1.0)
    recipe = replace(
        PLAIN, optimizer=config, mixup=0.4, precision=PrecisionConfig(level="O0", loss_scale=1024.0, dynamic=True)
    )
    data = batches(7)
    undisturbed = new_step(Small(), recipe, STEPS_PER_EPOCH)
    run(undisturbed, data[:3])  # within a gathered update
    carried = values(undisturbed)
    assert len(carried) == len(list(undisturbed.get_parameters()))
    losses = run(undisturbed, data[3:])
    resumed = new_step(Small(), recipe, STEPS_PER_EPOCH)
    found = {name: ms.Parameter(ms.Tensor(value), name=name) for name, value in carried.items()}
    assert ms.load_param_into_net(resumed, found, strict_load=True) == ([], [])
    # MindSpore sums what it only reports in an order that it chooses by the clock
    assert run(resumed, data[3:]) == pytest.approx(losses, rel=1e-6)
    after = values(resumed)
    assert after.pop("totals") == pytest.approx(values(undisturbed)["totals"], rel=1e-6)
    for name, value in after.items():
        assert (values(undisturbed)[name] == value).all(), name
