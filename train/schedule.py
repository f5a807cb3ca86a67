"""The learning rate of every step: pure functions of the recipe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.config import ScheduleConfig


def learning_rates(schedule: ScheduleConfig, epochs: int, steps_per_epoch: int) -> NDArray[np.float32]:
    """One rate a step, (epochs * steps_per_epoch,) float32. Milestones and warm-up count epochs, not steps.

    For step i of T, w of them warm-up, p = (i - w)/(T - w):

    warm-up       start + (max - start) i / w, with i + 1 before the cosines
    steps         max factor^k, after k milestones
    linear        max - (max - end) p
    poly          max (1 - p)^2
    cosine        max (1 + cos(pi p)) / 2 (arXiv:1608.03983, eq. 5, one cycle to zero)
    cosine_glore  max ((T - i)/(T - w) (1 + cos(2 pi 0.47 i/(T - w))) / 2 + 1e-5), the MindSpore model zoo's for GloRe
    """
    total = epochs * steps_per_epoch
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    greatest = schedule.learning_rate
    step = np.arange(total)
    part = (step - warmup) / (total - warmup)
    if schedule.curve == "steps":
        passed = np.searchsorted(np.asarray(schedule.milestones), step // steps_per_epoch, side="right")
        rates = greatest * schedule.factor ** passed.astype(np.float64)
    elif schedule.curve == "linear":
        rates = greatest - (greatest - schedule.end_rate) * part
    elif schedule.curve == "poly":
        rates = greatest * (1 - part) ** 2
    elif schedule.curve == "cosine":
        rates = greatest * (1 + np.cos(np.pi * part)) / 2
    else:
        left = (total - step) / (total - warmup)
        rates = greatest * (left * (1 + np.cos(2 * np.pi * 0.47 * step / (total - warmup))) / 2 + 1e-5)
    if warmup:
        climbed = (step + (1 if schedule.curve.startswith("cosine") else 0)) / warmup
        rates = np.where(step < warmup, schedule.start_rate + (greatest - schedule.start_rate) * climbed, rates)
    return rates.astype(np.float32)
