"""Shards to a trained network: the third stage.

python train/train.py --recipe train/recipes/ucf101_r3d50.yaml --records work/records --out work/runs/mine
python train/train.py --recipe train/recipes/quick_cpu.yaml --records work/records --epochs 3 --model.depth 18
python train/train.py --resume work/runs/mine
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from train.signals import STOP

    STOP.take_signals()

from mindspore import nn

from mindrecord import checksums, manifest
from mindrecord.manifest import Manifest
from preprocess.catalog import TRAIN
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train import checkpoint, config, devices, recipe_options, run_folder, trainer
from train.checkpoint import CheckpointMetadata, TrainState
from train.loader import uses_processes
from train.plot_curves import draw_curves
from train.recipe_options import RecipeOptions
from train.run_folder import LAST
from train.signals import STOP, Stopped
from train.step import new_step
from train.trainer import Run
from train.training_data import TrainingData, training_videos
from train.validation import Validator, held_out_videos, validation_videos
from train.watchdog import Watchdog
from train.weights import load_pretrained


@dataclass(frozen=True)
class Chosen(recipe_options.Chosen):
    """The options that decide the others' defaults."""

    resume: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Options(RecipeOptions):
    """Train a network on a records folder by a recipe; every value of the recipe can be set here too."""

    verify: Literal["size", "full"] = "size"
    """What of the records is checked first: size, of every file, or full, the SHA-256 too, once a pack: it is remembered."""
    out: Path | None = None
    """The run folder to write, new; by default work/runs/<recipe>-<date>-<time>."""
    pretrained: Path | None = None
    """Weights to begin with, .pth, .ckpt or .safetensors; a head for other classes is left out."""
    resume: Path | None = None
    """The folder of a run that was interrupted, or its last.ckpt: resume it exactly, with the run's own recipe."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, into the run folder."""


def main(options: Options) -> int:
    recipe = options.settings
    packed = manifest.load(options.records.resolve())
    if options.tensorboard:
        run_folder.check_tensorboard()
    out = options.resume or options.out or run_folder.new_folder(options.recipe)
    if not options.resume:
        run_folder.check_new(out)
    device = devices.target()
    devices.check_batch(recipe.batch_size, recipe.clip)
    devices.use(device, recipe.seed)
    if options.verify == "full" and devices.is_first_rank():
        checksums.check(options.records.resolve(), packed)
    rank, ranks = devices.join()
    with run_lock(out.resolve(), rank) as (folder, working_folder):
        run = make_run(options, packed, folder, rank, ranks)
        network = trainer.new_network(recipe, len(packed.class_names))
        if options.pretrained:
            for line in load_pretrained(network, options.pretrained).lines():
                say(line)
        step = new_step(network, recipe, run.data.steps_per_epoch, ranks)
        progress = TrainState(
            recipe=recipe, records_sha256=files.sha256(options.records.resolve() / manifest.FILE_NAME), ranks=ranks
        )
        if options.resume:
            progress = resume_state(step, progress, folder / LAST)
        say(f"{options.recipe.stem} on split {options.split} of {options.records} -> {out}, on {device}")
        print_summary(run, packed, network, progress)
        if rank == 0:
            open_folder(options, packed, folder, device, ranks, run.steps_done(progress))
        devices.work_in(working_folder)
        return run_training(run, network, step, progress, out)


@contextlib.contextmanager
def run_lock(folder: Path, rank: int) -> Iterator[tuple[Path, Path]]:
    """Hold the run folder for this process; yields it and the folder to work in. Only rank 0 writes into the first, and
    works there.

    Raises:
        InputError: another process holds it.
    """
    with contextlib.ExitStack() as stack:
        if rank:
            working_folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            stack.enter_context(files.locked(folder))
            working_folder = folder
        yield folder, working_folder


def make_run(options: Options, packed: Manifest, folder: Path, rank: int, ranks: int) -> Run:
    """Which videos are trained on and which choose the best checkpoint.

    Raises:
        InputError: they are too few.
    """
    recipe, records, split = options.settings, options.records.resolve(), options.split
    names = held_out_videos(records, packed, split, recipe)
    workers = devices.workers_of_rank()
    processes = uses_processes(options.loader, recipe, workers, ranks)
    validation = validation_videos(records, packed, split, recipe, names)
    data = TrainingData(
        videos=training_videos(records, packed, split, recipe.batch_size, names),
        clip=recipe.clip,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        rank=rank,
        ranks=ranks,
        workers=workers,
        processes=processes,
        watchdog=Watchdog(recipe.batch_size, counts=not processes),
    )
    return Run(
        recipe=recipe,
        folder=folder,
        meta=CheckpointMetadata(
            model=recipe.model,
            clip=recipe.clip,
            dataset=packed.dataset,
            split=split,
            class_names=packed.class_names,
            epoch=0,
            frame_settings=packed.frame_settings,
            splits_sha256=packed.splits_sha256,
        ),
        data=data,
        validator=Validator(recipe, len(packed.class_names), validation, data) if validation else None,
        tensorboard=options.tensorboard,
        stop=STOP,
    )


def resume_state(step: nn.Cell, begun: TrainState, last: Path) -> TrainState:
    """How far the run is whose last.ckpt this is, its parameters loaded into `step`.

    Raises:
        InputError: it is another run than `begun`, in recipe, records or number of ranks.
    """
    _, progress, parameters = checkpoint.load_for_resume(last)
    if difference := config.difference(begun.recipe, progress.recipe):
        raise InputError(
            f"{last.parent / run_folder.CONFIG} was changed: {difference}: put it back, or begin a new run with it"
        )
    if begun.records_sha256 != progress.records_sha256:
        raise InputError(f"{last} was trained on other records: name those that it was begun with, as --records")
    if begun.ranks != progress.ranks:
        raise InputError(f"{last} is of a run on {progress.ranks} ranks, here are {begun.ranks}: resume with as many")
    checkpoint.restore_step(step, parameters, last)
    return progress


def print_summary(run: Run, packed: Manifest, network: nn.Cell, progress: TrainState) -> None:
    """Print what is trained, and on what."""
    recipe = run.recipe
    if packed.assumed:
        say(packed.assumed)
    absent = len(packed.absent_of(run.meta.split, TRAIN))
    if absent:
        say(f"{absent} listed training videos are not packed; training continues without them")
    ranks = f" on each of {run.data.ranks} ranks" if run.data.ranks > 1 else ""
    say(
        f"{len(packed.class_names)} classes, {run.data.steps_per_epoch} steps of {recipe.batch_size} clips{ranks} an epoch, "
        f"{recipe.epochs} epochs, {sum(p.size for p in network.trainable_params()):,} parameters"
    )
    if run.validator and recipe.choose_best_on == "test":
        say(f"best.ckpt is chosen on the TEST LIST ({len(run.validator.videos)} videos): its accuracy there is no fair one")
    elif run.validator:
        say(f"{len(run.validator.videos)} training videos are held out to choose best.ckpt, {len(run.data.videos)} train")
    if run.validator:
        every = recipe.validate_every or trainer.rare_enough(run)
        say(f"validation of {run.validator.windows} windows every {f'{every} epochs' if every > 1 else 'epoch'}")
    if done := run.steps_done(progress):
        say(f"resuming after step {done} of {recipe.epochs * run.data.steps_per_epoch}")


def open_folder(options: Options, packed: Manifest, folder: Path, device: str, ranks: int, steps_done: int) -> None:
    """Write what ran on what into the run folder, which a new run makes."""
    if options.resume:
        run_folder.write_resumed(folder, steps_done)
        return
    folder.mkdir(parents=True, exist_ok=True)
    provenance = {
        "recipe": str(options.recipe),
        "records": str(options.records.resolve()),
        "records_sha256": files.sha256(options.records.resolve() / manifest.FILE_NAME),
        "dataset": packed.dataset,
        "split": options.split,
        "loader": options.loader,
        "pretrained": str(options.pretrained.resolve()) if options.pretrained else None,
        "pretrained_sha256": files.sha256(options.pretrained) if options.pretrained else None,
        "device": device,
        "ranks": ranks,
    }
    run_folder.write_new(folder, asdict(options.settings), provenance)


def run_training(run: Run, network: nn.Cell, step: nn.Cell, progress: TrainState, out: Path) -> int:
    """Train, and print how it ended."""
    began = time.monotonic()
    run.stop.listen()
    try:
        trainer.train(run, network, step, progress)
    except Stopped as stopped:
        command = "python train/train.py" if run.data.ranks == 1 else "sh scripts/train_8p.sh"
        say(f"stopped by {stopped} and saved; to resume: {command} --resume {out}")
        return 128 + stopped.number
    if run.data.rank == 0:
        draw_curves(run.folder)
    say(f"trained in {time.monotonic() - began:.0f} s: {run.folder / LAST}")
    return 0


def parse(arguments: list[str]) -> Options:
    """Options whose defaults are the values of the recipe that the command line names, or of the run that it resumes."""
    chosen = cli.parse_known(Chosen, arguments)
    if not chosen.resume:
        return cli.parse(Options, arguments, Options(settings=config.load_recipe(chosen.recipe), recipe=chosen.recipe))
    folder = run_folder.to_resume(chosen.resume)
    provenance = files.read_json(folder / run_folder.PROVENANCE)
    before = Options(
        settings=config.load_recipe(folder / run_folder.CONFIG),
        recipe=Path(provenance["recipe"]),
        records=Path(provenance["records"]),
        split=provenance["split"],
        loader=provenance["loader"],
    )
    options = cli.parse(Options, arguments, before)
    if difference := config.difference(options.settings, before.settings):
        raise InputError(f"{difference}: --resume keeps the run's own recipe, leave the option out")
    for name in ("recipe", "split", "out", "pretrained"):
        if getattr(options, name) != getattr(before, name):
            raise InputError(f"--{name} means nothing with --resume, which keeps what the run has: leave it out")
    return replace(options, resume=folder)


if __name__ == "__main__":
    cli.run_parsed(main, parse)
