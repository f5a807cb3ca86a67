"""Checkpoints that say what they are: weights, and everything needed to use them on a new video."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from preprocess.common import files
from preprocess.common.errors import InputError
from train.config import ClipConfig, ModelConfig, from_mapping
from train.models import build_model

SCHEMA = 1
META = "clipfeed"


@dataclass(frozen=True)
class Meta:
    """What a checkpoint says of itself beside its weights."""

    model: ModelConfig
    clip: ClipConfig
    dataset: str
    split: str
    class_names: tuple[str, ...]
    epoch: int
    """How many epochs it was trained."""


def save(network: nn.Cell, meta: Meta, path: Path) -> None:
    """Write the network's parameters and `meta`, with a checksum; the file appears by rename."""
    partial = path.with_name(f".partial-{path.name}")
    text = json.dumps({"schema": SCHEMA, **asdict(meta)}, ensure_ascii=False)
    ms.save_checkpoint(network, str(partial), append_dict={META: text}, crc_check=True)
    files.apply_umask(partial)  # MindSpore leaves it read-only to its owner
    os.replace(partial, path)


def load(path: Path) -> tuple[Meta, dict[str, Any]]:
    """Read a checkpoint: what it says of itself, and its parameters by name.

    Raises:
        InputError: no such file, damaged, not a checkpoint of this project, or of another schema.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        parameters = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{path} is damaged or no MindSpore checkpoint: {str(error).strip().splitlines()[0]}") from None
    text = parameters.pop(META, None)
    if not isinstance(text, str):
        raise InputError(f"{path} does not say which network and classes it has: it was not written by train/train.py")
    value = json.loads(text)
    if value.pop("schema") != SCHEMA:
        raise InputError(f"{path} is of another schema than this version's {SCHEMA}: train again")
    meta: Meta = from_mapping(Meta, value, str(path))
    return meta, parameters


def restore(path: Path) -> tuple[Meta, nn.Cell]:
    """Rebuild the network that a checkpoint holds, every parameter loaded.

    Raises InputError as `load` does, and when names or shapes differ.
    """
    meta, parameters = load(path)
    network = build_model(meta.model.name, num_classes=len(meta.class_names), **meta.model.options())
    wanted = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    found = {name: parameter.shape for name, parameter in parameters.items()}
    if wanted != found:
        name = next(name for name in [*wanted, *found] if wanted.get(name) != found.get(name))
        raise InputError(
            f"{path} does not fit its own network: {name} is {found.get(name, 'absent')}, expected "
            f"{wanted.get(name, 'nothing')}"
        )
    ms.load_param_into_net(network, parameters, strict_load=True)
    return meta, network
