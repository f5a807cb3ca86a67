"""The training curves of a run, as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from train.run_folder import CURVES, read_metrics

TRAINING, VALIDATION = "#1f6f8b", "#c8553d"


def draw_curves(folder: Path) -> None:
    """Draw loss, accuracy and learning rate against the epoch from `metrics.jsonl` into `curves.svg`."""
    lines = read_metrics(folder)
    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    for axes, key, label in zip(
        figure.subplots(1, 3),
        ("loss", "accuracy", "learning_rate"),
        ("training loss", "accuracy of training clips", "learning rate"),
        strict=True,
    ):
        axes.plot(
            [line["epoch"] for line in lines], [line[key] for line in lines], color=TRAINING, marker=".", linewidth=1.5
        )
        validated = [line for line in lines if "validation_accuracy" in line]
        if key == "accuracy" and validated:
            on = "held-out videos" if validated[0]["validated_on"] == "held_out" else "THE TEST LIST"
            axes.plot(
                [line["epoch"] for line in validated],
                [line["validation_accuracy"] for line in validated],
                color=VALIDATION,
                marker=".",
                linewidth=1.5,
            )
            label += f"\n(red: of {on}, best.ckpt is chosen on it)"
        axes.set_xlabel("epoch")
        axes.set_title(label, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / CURVES, metadata={"Date": None})
