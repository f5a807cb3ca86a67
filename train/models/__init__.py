"""The networks by name: a plain dict of plain functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from mindspore import nn

from preprocess.common.errors import InputError, nearest
from train.models.glore_resnet import glore_resnet, glore_resnet3d
from train.models.resnet2p1d import resnet2p1d
from train.models.resnet3d import Options, resnet3d, wide_resnet3d

MODELS: dict[str, Callable[..., nn.Cell]] = {
    "resnet3d": resnet3d,
    "resnet2p1d": resnet2p1d,
    "wide_resnet3d": wide_resnet3d,
    "glore_resnet": glore_resnet,
    "glore_resnet3d": glore_resnet3d,
}


def build_model(name: str, *, num_classes: int, **options: Any) -> nn.Cell:
    """Build a network that maps float32 `clip_NCTHW`, or for images `image_NCHW`, already normalised, to `logits_NK`,
    K = `num_classes`.

    Args:
        name: a key of `MODELS`.
        num_classes: at least 1.
        options: the named network's own options; see its function.

    Raises:
        InputError: no such network, no such option, or a value out of range.
    """
    if name not in MODELS:
        raise InputError(f"no network is called {name!r}{nearest(name, MODELS)} The networks: {', '.join(MODELS)}")
    if num_classes < 1:
        raise InputError(f"a network needs one class or more, not {num_classes}")
    known = [option for option in inspect.signature(MODELS[name]).parameters if option != "num_classes"]
    if known == ["options"]:
        known = [field.name for field in fields(Options)]
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option!r}{nearest(option, known)} The options: {', '.join(known)}")
    return MODELS[name](num_classes=num_classes, **options)
