"""Shards to a trained network: the third stage.

python train/train.py --recipe train/recipes/ucf101_r3d50.yaml --records work/records --out work/runs/mine
python train/train.py --recipe train/recipes/quick_cpu.yaml --records work/records --epochs 3 --model.depth 18
"""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import tyro
import yaml

from mindrecord import integrity, manifest
from mindrecord.manifest import Manifest
from preprocess.catalog import TRAIN
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train import checkpoint, config, devices, stream, trainer
from train.config import Recipe
from train.curves import draw_curves

DEFAULT_RECIPE = Path(__file__).resolve().parent / "recipes" / "ucf101_r3d50.yaml"
RUNS = Path("work/runs")
CONFIG = "config.yaml"
LAST = "last.ckpt"


@dataclass(frozen=True)
class Chosen:
    """The one option that decides the others' defaults."""

    recipe: Path = DEFAULT_RECIPE


@dataclass(frozen=True)
class Options:
    """Train a network on a records folder by a recipe; every value of the recipe can be set here too."""

    settings: Annotated[Recipe, tyro.conf.arg(name="")]
    recipe: Path = DEFAULT_RECIPE
    """A full configuration, in YAML; see train/recipes/."""
    records: Path = Path("work/records")
    """The records folder that mindrecord/build.py wrote."""
    split: str = "1"
    """Which of the data set's splits to train on."""
    verify: Literal["size", "full"] = "size"
    """What of the records is checked first: size, of every file, or full, the SHA-256 too, once a pack: it is remembered."""
    loader: Literal["threads", "processes"] = "threads"
    """What reads and decodes clips: threads of this process, or processes, which do not share an interpreter and are quicker
    where cores are left over. They hand batches over in /dev/shm, which has to hold some."""
    out: Path | None = None
    """The run folder to write, new; by default work/runs/<recipe>-<date>-<time>."""


def main(options: Options) -> int:
    recipe = options.settings
    config.check(recipe)
    records = options.records.resolve()
    packed = manifest.load(records)
    folder = options.out or RUNS / f"{options.recipe.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty: choose another --out, a run never writes over another")
    if options.verify == "full":
        integrity.check(records, packed)
    device = devices.target()
    devices.use(device, recipe.seed)
    processes = options.loader == "processes"
    watchdog = stream.Watchdog(recipe.batch_size, counts=not processes)
    batches = stream.training_batches(
        records,
        packed,
        options.split,
        recipe.clip,
        recipe.batch_size,
        recipe.seed,
        processes=processes,
        watchdog=watchdog,
    )
    network = trainer.new_network(recipe, len(packed.class_names))
    say(f"{options.recipe.stem} on split {options.split} of {options.records} -> {folder}, on {device}")
    absent = len(packed.absent_of(options.split, TRAIN))
    if absent:
        say(f"{absent} listed training videos are not packed; training goes on without them")
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    write_provenance(folder, options, packed, device)
    devices.work_in(folder)
    steps = batches.get_dataset_size()
    say(
        f"{len(packed.class_names)} classes, {steps} steps of {recipe.batch_size} clips an epoch, {recipe.epochs} epochs, "
        f"{sum(p.size for p in network.trainable_params()):,} parameters"
    )

    def save_last(epoch: int) -> None:
        meta = checkpoint.Meta(recipe.model, recipe.clip, packed.dataset, options.split, packed.class_names, epoch)
        checkpoint.save(network, meta, folder / LAST)

    began = time.monotonic()
    trainer.train(network, recipe, batches, folder, watchdog, save_last)
    draw_curves(folder)
    say(f"trained in {time.monotonic() - began:.0f} s: {folder / LAST}")
    return 0


def write_provenance(folder: Path, options: Options, packed: Manifest, device: str) -> None:
    """Write config.yaml, the resolved recipe, and provenance.json: what ran on what, to run it again."""
    files.write_text(folder / CONFIG, yaml.safe_dump(plain(asdict(options.settings)), sort_keys=False, allow_unicode=True))
    root = Path(__file__).resolve().parents[1]
    commit = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"], capture_output=True, text=True, check=False
    )
    files.write_json(
        folder / "provenance.json",
        {
            "command": sys.argv,
            "recipe": str(options.recipe),
            "records": str(options.records.resolve()),
            "records_sha256": files.sha256(options.records.resolve() / manifest.FILE_NAME),
            "dataset": packed.dataset,
            "split": options.split,
            "device": device,
            "machine": platform.platform(),
            "git_commit": commit.stdout.strip() or None,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "python": platform.python_version(),
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("mindspore", "numpy", "opencv-python-headless", "simplejpeg")
            },
        },
    )


def plain(value: object) -> object:
    """Tuples as lists, all through: YAML has no tuple."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def parse(arguments: list[str]) -> Options:
    """Options whose defaults are the values of the recipe that the command line names."""
    chosen = cli.parse_known(Chosen, arguments)
    return cli.parse(Options, arguments, Options(config.load_recipe(chosen.recipe), chosen.recipe))


if __name__ == "__main__":
    cli.run(main, Options, parse)
