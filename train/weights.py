"""Pretrained weights into a network: strictly by name and shape, and with a report of what went where."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from preprocess.common.errors import InputError
from train.checkpoint import read_parameters
from train.pth import read_pth

# PyTorch's names of what a batch norm holds -> MindSpore's
NORM_NAMES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a load did."""

    path: Path
    loaded: tuple[str, ...]
    """The network's parameters that now have the file's values."""
    skipped: dict[str, str]
    """What of the file was not used, by its name there, and why."""
    new: tuple[str, ...]
    """The network's parameters that the file had no values for."""

    def lines(self) -> list[str]:
        """The report as a short table."""
        whys: dict[str, list[str]] = {}
        for name, why in self.skipped.items():
            whys.setdefault(why, []).append(name)
        rows = [("loaded", len(self.loaded), "")]
        rows += [("skipped", len(names), f"{why}: {shortened(names)}") for why, names in whys.items()]
        rows.append(("new", len(self.new), shortened(self.new)))
        return [f"weights from {self.path}:"] + [f"  {what:8}{count:5}  {text}".rstrip() for what, count, text in rows]


def shortened(names: Sequence[str]) -> str:
    """The first two names, and how many more there are."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def load_pretrained(network: nn.Cell, path: Path) -> Report:
    """Give `network` the weights of a .pth, .pt, .ckpt or .safetensors file. The caller prints the report's lines.

    Tensors are matched by their whole names, PyTorch's or MindSpore's. A head for another number of classes is left out, and
    the network's own stays as it is. Nothing is changed unless everything fits.

    Raises:
        InputError: the file cannot be read, a tensor has another shape than the network's, belongs to a network of more
            layers, or is missing for any parameter outside the head.
    """
    tensors = read(path)
    wanted = {parameter.name: parameter for parameter in network.get_parameters()}
    modules = {name.split(".")[0] for name in wanted}
    head = {parameter.name for cell in network.cells() if isinstance(cell, nn.Dense) for parameter in cell.get_parameters()}
    sources: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name, array in tensors.items():
        own = own_name(name.removeprefix("module."), wanted)
        if own is None and name.endswith(".num_batches_tracked"):
            skipped[name] = "a counter"
        elif own is None and name.removeprefix("module.").split(".")[0] in modules:
            raise InputError(f"{path} has {name}, which the network lacks: it is of another one; check the recipe's model")
        elif own is None:
            skipped[name] = "not the network's (optimiser, counters, notes)"
        elif array.shape == wanted[own].shape:
            if own in sources:
                raise InputError(f"{path} has {own} twice, as {sources[own]} and {name}: it is not clear which to take")
            sources[own] = name
        elif own in head and array.shape[1:] == wanted[own].shape[1:]:
            skipped[name] = f"the head is for {array.shape[0]} classes, the network has {wanted[own].shape[0]}"
        else:
            raise InputError(
                f"{path}: {name} is {by(array.shape)}, the network's {own} is {by(wanted[own].shape)}: it is of another "
                "network; check the recipe's model"
            )
    new = tuple(name for name in wanted if name not in sources)
    missing = [name for name in new if name not in head]
    if missing:
        raise InputError(
            f"{path} lacks {len(missing)} of the network's {len(wanted)} tensors, {shortened(missing)}: it is of another "
            "network; check the recipe's model"
        )
    arrays = {own: np.ascontiguousarray(tensors[name], np.float32) for own, name in sources.items()}
    for own, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {sources[own]} holds values that are not finite: fetch it again, or train it again")
    for own, array in arrays.items():
        wanted[own].set_data(ms.Tensor(array))
    return Report(path=path, loaded=tuple(sources), skipped=skipped, new=new)


def own_name(name: str, wanted: Container[str]) -> str | None:
    """The network's name for a tensor that MindSpore or PyTorch calls `name`; None if it has no such tensor."""
    owner, _, leaf = name.rpartition(".")
    ours = NORM_NAMES.get(leaf)
    candidates = [name] if ours is None else [name, f"{owner}.{ours}", f"{owner}.bn2d.{ours}"]
    return next((candidate for candidate in candidates if candidate in wanted), None)


def by(shape: tuple[int, ...]) -> str:
    """A shape as a user reads it."""
    return "x".join(map(str, shape)) or "a single number"


def read(path: Path) -> dict[str, NDArray[Any]]:
    """All that a file of weights holds, by name; its ending says the format.

    Raises:
        InputError: it cannot be read.
    """
    readers = {".pth": read_pth, ".pt": read_pth, ".ckpt": read_ckpt, ".safetensors": read_safetensors}
    if path.suffix not in readers:
        raise InputError(f"{path} is no file of weights: their names end in {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    return readers[path.suffix](path)


def read_ckpt(path: Path) -> dict[str, NDArray[Any]]:
    """Read a MindSpore checkpoint; its checksum is checked where it has one, which the model zoo's lack."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 17))
        has_crc = stream.read(7) == b"crc_num"
    parameters = read_parameters(path, crc_check=has_crc)
    return {name: np.asarray(p if isinstance(p, str) else p.asnumpy()) for name, p in parameters.items()}


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read a safetensors file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError) as error:  # the latter where NumPy lacks a type of numbers
        raise InputError(f"{path} is damaged or no safetensors file: {' '.join(str(error).split())}") from None
