from __future__ import annotations

import numpy as np
import pytest

from train.config import ScheduleConfig
from train.schedule import learning_rates


def test_milestones_count_epochs_not_steps() -> None:
    rates = learning_rates(ScheduleConfig("steps", 1.0, 0, (2, 3)), epochs=4, steps_per_epoch=3)
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_warm_up_climbs_to_the_greatest_rate_and_the_curve_goes_on_from_there() -> None:
    rates = learning_rates(ScheduleConfig("steps", 0.4, 1), epochs=2, steps_per_epoch=4)
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4])


def test_cosine_follows_its_formula_between_warm_up_and_end() -> None:
    rates = learning_rates(ScheduleConfig("cosine", 0.2, 0.5), epochs=3, steps_per_epoch=10)
    assert rates[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert rates[5:] == pytest.approx(0.1 * (1 + np.cos(np.pi * np.arange(25) / 25)), abs=1e-7)
    assert rates.dtype == np.float32
    assert rates[-1] > 0
