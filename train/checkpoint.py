"""Checkpoints that say what they are: weights, and everything needed to use them on a new video."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from numpy.typing import NDArray

from preprocess import frame_settings
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.frame_settings import FrameSettings
from train.config import ClipConfig, ModelConfig, Recipe
from train.models import build_model
from train.strict import from_mapping

SCHEMA = 2
READABLE = (1, SCHEMA)
META = "clipfeed"
PROGRESS = "clipfeed.progress"
STATE = "state:"  # before the name of what a training step carries besides the network that is evaluated


@dataclass(frozen=True, kw_only=True)
class CheckpointMetadata:
    """What a checkpoint says of itself: all that it takes to use its weights on a new video."""

    model: ModelConfig
    clip: ClipConfig
    dataset: str
    split: str
    class_names: tuple[str, ...]
    epoch: int
    """How many epochs it was trained."""
    frame_settings: FrameSettings | None = None
    """What shaped the frames that it was trained on; None in a checkpoint of schema 1, which does not say."""
    splits_sha256: str = ""
    """Hash of every video's flags in the records that it was trained on, as their manifest has it; empty where unknown."""
    chosen_on: str = ""
    """What this epoch was chosen on, as the recipe's choose_best_on; empty where it is the last one, unchosen."""
    accuracy: float | None = None
    """What it reached there, top-1 of whole videos."""


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """How far a run has come: with the parameters of its training step, all that it takes to resume exactly."""

    recipe: Recipe
    records_sha256: str
    """Hash of the records' manifest."""
    ranks: int
    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Steps done of the epoch under way; all of them when only its validation is still to come."""
    seconds: float = 0.0
    """Time spent on the epoch under way."""
    waited_s: float = 0.0
    """Of it, time spent waiting for data."""
    best_accuracy: float | None = None
    """Of the best checkpoint."""


@dataclass(frozen=True)
class Snapshot:
    """All that a checkpoint holds, copied: training may continue while it is written."""

    parameters: dict[str, NDArray[Any]]
    texts: dict[str, str]

    def write(self, path: Path) -> None:
        """Write it with a checksum; the file appears by rename, and is whole on disk by then.

        Raises:
            OSError: the disk is full; what was at `path` stays.
        """
        write(path, {name: ms.Tensor.from_numpy(value) for name, value in self.parameters.items()}, self.texts)


def take_snapshot(
    network: nn.Cell,
    meta: CheckpointMetadata,
    progress: TrainState | None = None,
    averages: Mapping[str, ms.Tensor] | None = None,
    step: nn.Cell | None = None,
) -> Snapshot:
    """Copy the network's parameters to the host.

    Args:
        progress: the run's, recipe included.
        averages: parameters that stand in for the network's own of these names.
        step: the training step, whose parameters are taken too, so that a run can resume from the checkpoint.
    """
    weights = {parameter.name: parameter for parameter in network.get_parameters()} | dict(averages or {})
    state = {}
    for parameter in step.get_parameters() if step else ():
        if parameter.name not in weights or averages:
            state[STATE + parameter.name] = parameter
    texts = {META: json.dumps({"schema": SCHEMA, **asdict(meta)}, ensure_ascii=False)}
    if progress:
        texts[PROGRESS] = json.dumps(asdict(progress), ensure_ascii=False)
    return Snapshot({name: np.array(value.asnumpy()) for name, value in (weights | state).items()}, texts)


def write(path: Path, parameters: Mapping[str, Any], texts: Mapping[str, str]) -> None:
    """Write parameters and texts by name as a MindSpore checkpoint, as `Snapshot.write` says."""
    entries = [{"name": name, "data": data} for name, data in parameters.items()]
    with files.by_rename(path) as partial:
        try:
            with quiet():
                ms.save_checkpoint(entries, str(partial), append_dict=dict(texts), crc_check=True)
        finally:
            partial.with_suffix(".tmp").unlink(missing_ok=True)  # what MindSpore writes into
        files.apply_umask(partial)  # MindSpore leaves it read-only to its owner
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence MindSpore's log, which repeats what its exceptions say."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def load(path: Path) -> tuple[CheckpointMetadata, dict[str, Any]]:
    """Read a checkpoint: what it says of itself, and the network's parameters by name.

    Raises:
        InputError: no such file, damaged, not a checkpoint of this project, or of another schema.
    """
    meta, _, parameters = read(path)
    return meta, {name: parameter for name, parameter in parameters.items() if not name.startswith(STATE)}


def load_for_resume(path: Path) -> tuple[CheckpointMetadata, TrainState, dict[str, Any]]:
    """Read a checkpoint to resume from: what it says of itself, how far the run was, and all parameters for `restore_step`.

    Raises:
        InputError: as `load`, or it holds the network alone.
    """
    meta, progress, parameters = read(path)
    if progress is None or not any(name.startswith(STATE) for name in parameters):
        raise InputError(f"{path} holds no training state: resume from the run's last.ckpt")
    return meta, progress, parameters


def read(path: Path) -> tuple[CheckpointMetadata, TrainState | None, dict[str, Any]]:
    """Read everything in a checkpoint.

    Raises:
        InputError: as `load`.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    parameters = read_parameters(path, crc_check=True)
    text = parameters.pop(META, None)
    if not isinstance(text, str):
        raise InputError(f"{path} does not say which network and classes it has: it was not written by train/train.py")
    value = json.loads(text)
    if (schema := value.pop("schema")) not in READABLE:
        raise InputError(f"{path} has schema {schema}, this version reads 1 and {SCHEMA}: train again")
    if value.get("frame_settings"):
        value["frame_settings"] = frame_settings.from_json(value["frame_settings"])
    meta: CheckpointMetadata = from_mapping(CheckpointMetadata, value, path)
    run = parameters.pop(PROGRESS, None)
    progress: TrainState | None = from_mapping(TrainState, json.loads(run), path) if run else None
    return meta, progress, parameters


def read_parameters(path: Path, crc_check: bool) -> dict[str, Any]:
    """Parameters and texts of any MindSpore checkpoint, by name.

    Raises:
        InputError: it is damaged or none.
    """
    try:
        with quiet():
            parameters: dict[str, Any] = ms.load_checkpoint(str(path), crc_check=crc_check)
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{path} is damaged or no MindSpore checkpoint: {str(error).strip().splitlines()[0]}") from None
    return parameters


def restore(path: Path) -> tuple[CheckpointMetadata, nn.Cell]:
    """Rebuild the network that a checkpoint holds, every parameter loaded.

    Raises:
        InputError: as `load`, or names or shapes differ.
    """
    meta, parameters = load(path)
    network = build_model(meta.model.name, num_classes=len(meta.class_names), **meta.model.options())
    load_strictly(network, parameters, f"{path} does not fit its own network")
    return meta, network


def restore_step(step: nn.Cell, parameters: dict[str, Any], path: Path) -> None:
    """Load what `load_for_resume` found into a training step.

    Raises:
        InputError: names or shapes differ.
    """
    names = [parameter.name for parameter in step.get_parameters()]
    found = {name: parameters.get(STATE + name, parameters.get(name)) for name in names}
    found = {name: parameter for name, parameter in found.items() if parameter is not None}
    load_strictly(step, found, f"{path} does not fit this version's training step")


def load_strictly(cell: nn.Cell, parameters: dict[str, Any], misfit: str) -> None:
    """Load all the cell's parameters.

    Raises:
        InputError: names or shapes differ. The line begins with `misfit`.
    """
    wanted = {parameter.name: parameter.shape for parameter in cell.get_parameters()}
    found = {name: parameter.shape for name, parameter in parameters.items()}
    if wanted != found:
        name = next(name for name in [*wanted, *found] if wanted.get(name) != found.get(name))
        raise InputError(f"{misfit}: {name} is {found.get(name, 'absent')}, expected {wanted.get(name, 'nothing')}")
    ms.load_param_into_net(cell, parameters, strict_load=True)
