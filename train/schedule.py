"""The learning rate of every step: pure functions of the recipe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.config import ScheduleConfig


def learning_rates(schedule: ScheduleConfig, epochs: int, steps_per_epoch: int) -> NDArray[np.float32]:
    """One rate a step, (epochs * steps_per_epoch,) float32. Milestones and warm-up count epochs, not steps.

    warm-up: max (i + 1) / w. steps: max factor^k after k milestones. cosine: max (1 + cos(pi (i - w)/(T - w))) / 2
    (arXiv:1608.03983, eq. 5, one cycle to zero), for step i of T and w warm-up steps.
    """
    total = epochs * steps_per_epoch
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    step = np.arange(total)
    if schedule.curve == "steps":
        passed = np.searchsorted(np.asarray(schedule.milestones), step // steps_per_epoch, side="right")
        rates = schedule.learning_rate * schedule.factor ** passed.astype(np.float64)
    else:
        rates = schedule.learning_rate * (1 + np.cos(np.pi * (step - warmup) / (total - warmup))) / 2
    if warmup:
        rates = np.where(step < warmup, schedule.learning_rate * (step + 1) / warmup, rates)
    return rates.astype(np.float32)
