from __future__ import annotations

import math

import numpy as np
import pytest

from train.config import ScheduleConfig
from train.schedule import learning_rates


def test_milestones_count_epochs_not_steps() -> None:
    rates = learning_rates(
        ScheduleConfig(curve="steps", learning_rate=1.0, warmup_epochs=0, milestones=(2, 3)), epochs=4, steps_per_epoch=3
    )
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_warm_up_climbs_from_its_start_to_the_greatest_rate_and_the_curve_goes_on_from_there() -> None:
    rates = learning_rates(ScheduleConfig(curve="steps", learning_rate=0.4, warmup_epochs=1), epochs=2, steps_per_epoch=4)
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4])
    rates = learning_rates(
        ScheduleConfig(curve="poly", learning_rate=0.4, warmup_epochs=0.5, start_rate=0.2), epochs=1, steps_per_epoch=8
    )
    assert rates == pytest.approx([0.2, 0.25, 0.3, 0.35, 0.4, 0.225, 0.1, 0.025])


def test_cosine_follows_its_formula_between_warm_up_and_end() -> None:
    rates = learning_rates(
        ScheduleConfig(curve="cosine", learning_rate=0.2, warmup_epochs=0.5), epochs=3, steps_per_epoch=10
    )
    assert rates[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert rates[5:] == pytest.approx(0.1 * (1 + np.cos(np.pi * np.arange(25) / 25)), abs=1e-7)
    assert rates.dtype == np.float32
    assert rates[-1] > 0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (ScheduleConfig(curve="linear", learning_rate=0.8, warmup_epochs=0), [0.8, 0.6, 0.4, 0.2]),
        (ScheduleConfig(curve="linear", learning_rate=0.8, warmup_epochs=1, end_rate=0.2), [0, 0.8, 0.6, 0.4]),
        (ScheduleConfig(curve="poly", learning_rate=0.64, warmup_epochs=0), [0.64, 0.36, 0.16, 0.04]),
        (
            ScheduleConfig(curve="steps", learning_rate=0.5, warmup_epochs=0, milestones=(1, 3), factor=0.5),
            [0.5, 0.25, 0.25, 0.125],
        ),
        # (T - i)/T (1 + cos(0.94 pi i / T)) / 2 + 1e-5, with cosines of 42.3, 84.6 and 126.9 degrees from a table
        (ScheduleConfig(curve="cosine_glore", learning_rate=1.0, warmup_epochs=0), [1.00001, 0.652372, 0.273537, 0.049957]),
        # one step of warm-up, which is its last: i of 1 to 3 over 3 steps, cosines of 56.4, 112.8 and 169.2 degrees
        (ScheduleConfig(curve="cosine_glore", learning_rate=0.5, warmup_epochs=1), [0.5, 0.388353, 0.102086, 0.001481]),
    ],
    ids=lambda value: value.curve if isinstance(value, ScheduleConfig) else "",
)
def test_a_curve_gives_the_rates_of_an_independent_table(schedule: ScheduleConfig, expected: list[float]) -> None:
    assert learning_rates(schedule, epochs=4, steps_per_epoch=1) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("warmup_epochs", [0, 5])
@pytest.mark.parametrize("curve", ["linear", "poly", "cosine_glore", "steps"])
def test_the_four_curves_equal_their_formulas_at_every_step_of_imagenet(curve: str, warmup_epochs: int) -> None:
    """120 epochs of 1251 steps, a step at a time, with the milestones at 30, 60 and 80 %."""
    epochs, steps = 120, 1251
    total, w, least, most = epochs * steps, warmup_epochs * steps, 0.01, 0.8
    schedule = ScheduleConfig(
        curve=curve,
        learning_rate=most,
        warmup_epochs=warmup_epochs,
        milestones=(36, 72, 96),
        start_rate=least,
        end_rate=0.001,
    )
    formulas = {
        "linear": lambda i: most - (most - 0.001) * (i - w) / (total - w),
        "poly": lambda i: most * (1 - (i - w) / (total - w)) ** 2,
        "cosine_glore": lambda i: (
            most * ((total - i) / (total - w) * (1 + math.cos(2 * math.pi * 0.47 * i / (total - w))) / 2 + 1e-5)
        ),
        "steps": lambda i: most * 0.1 ** ((i >= 0.3 * total) + (i >= 0.6 * total) + (i >= 0.8 * total)),
    }
    ahead = 1 if curve == "cosine_glore" else 0
    expected = [least + (most - least) * (i + ahead) / w if i < w else formulas[curve](i) for i in range(total)]
    np.testing.assert_allclose(learning_rates(schedule, epochs, steps), expected, rtol=1e-6, atol=1e-9)
