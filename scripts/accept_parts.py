"""What scripts/accept.py measures in processes of their own, each on one device:

    DEVICE_TARGET=CPU python scripts/accept_parts.py logits auto FOLDER
    DEVICE_TARGET=CPU python scripts/accept_parts.py steps O2 FOLDER RECORDS

The second word is the precision's level. What comes of it is in FOLDER/<part>-<device>-<level>.npz.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore import nn
from numpy.typing import NDArray

from mindrecord import manifest
from train import devices
from train.config import RECIPES, OptimizerConfig, PrecisionConfig, Recipe, load_recipe
from train.models import build_model
from train.models.normalize_input import NormalizeInput
from train.step import new_step
from train.trainer import new_network
from train.training_data import TrainingData, training_videos

Arrays = dict[str, NDArray[np.float32]]
FAMILIES = {
    "resnet3d": {"depth": 18, "widen_factor": 0.5},
    "resnet2p1d": {"depth": 18, "widen_factor": 0.5},
    "wide_resnet3d": {"depth": 50, "widen_factor": 0.25},
    "glore_resnet3d": {"depth": 50, "widen_factor": 0.25},
    "glore_resnet": {"depth": 50, "width": 0.25},
}
"""Each of the networks, made narrow: their operators are those of the wide ones, and the CPU has to compute them too."""
SPLIT = "1"
STEPS = 10
SINKS = (1, 5)
"""Steps a sink, of `STEPS`."""


def main(part: str, level: str, folder: Path, *arguments: str) -> int:
    devices.use(devices.target(), seed=1)
    with devices.work_aside():
        found = PARTS[part](folder, PrecisionConfig(level=level, loss_scale=1024.0), *arguments)  # type: ignore[arg-type]
    np.savez(folder / f"{part}-{devices.target()}-{level}.npz", **found)
    return 0


def logits(folder: Path, precision: PrecisionConfig) -> Arrays:
    """logits_NK of two random clips or images by each family, by the statistics of the batch, with the weights that the
    first process left in `folder`."""
    found: Arrays = {}
    rng = np.random.default_rng(1)
    for name, options in FAMILIES.items():
        shape = (2, 1, 224, 224, 3) if name == "glore_resnet" else (2, 16, 112, 112, 3)
        network = build_model(name, num_classes=10, **options)
        weights = folder / f"{name}.ckpt"
        if weights.is_file():
            ms.load_checkpoint(str(weights), network)
        else:
            ms.save_checkpoint(network, str(weights))
        whole = NormalizeInput(devices.cast_network(network, precision), (0.5,) * 3, (0.25,) * 3).set_train()
        found[name] = whole(ms.Tensor(rng.integers(0, 256, shape, np.uint8))).asnumpy()
    return found


def trained(step: nn.Cell, losses: list[float]) -> Arrays:
    """The losses and all that the step carries."""
    values = {parameter.name: parameter.asnumpy().astype(np.float32) for parameter in step.get_parameters()}
    return values | {"losses": np.array(losses, np.float32)}


def begun(precision: PrecisionConfig, records: str) -> tuple[nn.Cell, ds.Dataset]:
    """A training step with fresh weights and `STEPS` batches for it."""
    recipe = small_recipe(precision)
    ms.set_seed(1)
    step = new_step(new_network(recipe, len(manifest.load(Path(records)).class_names)), recipe, STEPS)
    return step, batches_of(recipe, Path(records))


def small_recipe(precision: PrecisionConfig) -> Recipe:
    """quick_cpu, with an update whose size does not hide that of the gradient."""
    recipe = load_recipe(RECIPES / "quick_cpu.yaml")
    optimizer = OptimizerConfig(name="momentum", momentum=0.9, weight_decay=1e-3, decay_norm_and_bias=False)
    schedule = replace(recipe.schedule, curve="linear", learning_rate=0.002, warmup_epochs=0.0, end_rate=0.002)
    return replace(recipe, optimizer=optimizer, schedule=schedule, epochs=1, batch_size=8, precision=precision)


def batches_of(recipe: Recipe, records: Path) -> ds.Dataset:
    """`STEPS` batches."""
    videos = training_videos(records, manifest.load(records), SPLIT, recipe.batch_size)
    data = TrainingData(videos=videos, clip=recipe.clip, batch_size=recipe.batch_size, seed=1)
    return data.batches(range(-(-STEPS // data.steps_per_epoch))).take(STEPS)


def steps(_: Path, precision: PrecisionConfig, records: str) -> Arrays:
    """Ten training steps, fed one by one."""
    step, batches = begun(precision, records)
    before = {f"before.{p.name}": p.asnumpy().astype(np.float32) for p in step.get_parameters()}
    losses = [float(step(*batch).asnumpy()) for batch in batches.create_tuple_iterator(num_epochs=1)]
    return before | trained(step, losses)


def sunk(_: Path, precision: PrecisionConfig, records: str) -> Arrays:
    """The same ten, sunk in two ways."""
    found: Arrays = {}
    for sink_size in SINKS:
        step, batches = begun(precision, records)
        ms.Model(step).train(STEPS // sink_size, batches, dataset_sink_mode=True, sink_size=sink_size)
        found |= {f"{sink_size}.{name}": value for name, value in trained(step, []).items()}
    return found


PARTS: dict[str, Callable[..., Arrays]] = {"logits": logits, "steps": steps, "sunk": sunk}


if __name__ == "__main__":
    os.environ.setdefault("DEVICE_TARGET", "CPU")
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).resolve(), *sys.argv[4:]))
