"""The training curves of a run, as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

from train.trainer import METRICS


def draw_curves(folder: Path) -> None:
    """Draw loss and learning rate against the epoch from `metrics.jsonl` into `curves.svg`."""
    lines = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    epochs = [line["epoch"] for line in lines]
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    for axes, key, label in zip(
        figure.subplots(1, 2), ("loss", "learning_rate"), ("training loss", "learning rate"), strict=True
    ):
        axes.plot(epochs, [line[key] for line in lines], color="#1f6f8b", marker=".", linewidth=1.5)
        axes.set_xlabel("epoch")
        axes.set_title(label, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "curves.svg", metadata={"Date": None})
