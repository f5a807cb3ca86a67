"""results.json and the two tables as one self-contained HTML page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.metrics import most_confused
from eval.report.strips import Strip, Strips
from train.run_folder import CURVES

PAIRS_SHOWN = 10


def render(results: dict[str, Any], per_class: pd.DataFrame, per_video: pd.DataFrame, strips: Strips) -> str:
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

    def shown(strip: Strip) -> dict[str, Any]:
        return {
            "video": per_video.iloc[strip.video].to_dict(),
            "frames": [data_uri(jpeg, "image/jpeg") for jpeg in strip.jpegs],
        }

    return environment.get_template("page.html").render(
        r=results,
        pairs=pairs,
        matrix=matrix(confusion_KK, names),
        tested=tested.to_dict("records"),
        strips=[
            ("Most confident mistakes", [shown(strip) for strip in strips.mistakes]),
            ("Least confident hits", [shown(strip) for strip in strips.hits]),
        ],
        curves=curves(Path(results["checkpoint"]).parent),
    )


def matrix(confusion_KK: np.ndarray[Any, Any], names: list[str]) -> dict[str, Any]:
    """The confusion matrix to draw: only classes that occur, as true or as predicted class, and only cells above 0, each
    (row, column, videos)."""
    shown = [i for i in range(len(names)) if confusion_KK[i].any() or confusion_KK[:, i].any()]
    part = confusion_KK[np.ix_(shown, shown)]
    cells = [[int(i), int(j), int(part[i, j])] for i, j in zip(*part.nonzero(), strict=True)]
    return {"names": [names[i] for i in shown], "cells": cells}


def curves(run_folder: Path) -> str | None:
    """The run's curves as a data URI; empty if it has none."""
    path = run_folder / CURVES
    return data_uri(path.read_bytes(), "image/svg+xml") if path.is_file() else None


def data_uri(data: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
