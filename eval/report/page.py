"""results.json and the two tables as one self-contained HTML page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.metrics import most_confused

PAIRS_SHOWN = 10
MATRIX_WIDTH, CELL_SIDES = 780, (9, 34)  # pixels
CURVES = "curves.svg"  # the run folder's, beside the checkpoint


def render(results: dict[str, Any], per_class: pd.DataFrame, per_video: pd.DataFrame) -> str:
    """The page as text. Every name in it is escaped: a class called `<script>` stays text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    confusion_KK = np.asarray(results["confusion"])
    names = results["class_names"]
    pairs = [
        (names[i], names[j], count, int(confusion_KK[i].sum())) for i, j, count in most_confused(confusion_KK, PAIRS_SHOWN)
    ]
    tested = per_class[per_class["videos"] > 0].sort_values(["accuracy", "class"])
    mistakes = per_video[~per_video["hit"]].sort_values("score", ascending=False).head(PAIRS_SHOWN)
    return environment.get_template("page.html").render(
        r=results,
        pairs=pairs,
        matrix=matrix(confusion_KK, names),
        tested=tested.to_dict("records"),
        mistakes=mistakes.to_dict("records"),
        curves=curves(Path(results["checkpoint"]).parent),
    )


def matrix(confusion_KK: np.ndarray[Any, Any], names: list[str]) -> dict[str, Any]:
    """The confusion matrix to draw: only classes that occur, as true or as predicted class, and only cells above 0."""
    shown = [i for i in range(len(names)) if confusion_KK[i].any() or confusion_KK[:, i].any()]
    part = confusion_KK[np.ix_(shown, shown)]
    share = part / np.maximum(part.sum(axis=1, keepdims=True), 1)
    cells = [
        {"row": int(i), "column": int(j), "count": int(part[i, j]), "share": float(share[i, j])}
        for i, j in zip(*part.nonzero(), strict=True)
    ]
    side = min(max(MATRIX_WIDTH // max(len(shown), 1), CELL_SIDES[0]), CELL_SIDES[1])
    return {"names": [names[i] for i in shown], "cells": cells, "side": side}


def curves(run_folder: Path) -> str | None:
    """The run's curves.svg as a data URI, if it is there."""
    path = run_folder / CURVES
    if not path.is_file():
        return None
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
