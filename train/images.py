"""Shards of images to batches, through MindData's own operators: decoding, cropping and augmenting never enter Python."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
from mindspore.dataset import vision
from numpy.typing import NDArray

from mindrecord.manifest import Manifest
from mindrecord.slices import read_frames
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from train.autoaugment import autoaugment
from train.config import ClipConfig, Recipe
from train.stream import EpochOrders, Watchdog, epoch_order, training_batches, training_videos

FIRST_FRAME = np.zeros(1, np.int64)


def stream_for(recipe: Recipe, loader: str) -> Callable[..., ds.Dataset]:
    """What makes the recipe's batches: `image_batches`, or `stream.training_batches` by threads or processes.

    Raises InputError when the loader cannot do it.
    """
    processes = loader == "processes"
    if not recipe.model.for_images:
        return partial(training_batches, processes=processes)
    if processes:
        raise InputError("--loader processes is for clips; images are decoded by MindData's own threads: leave it out")
    return image_batches


def image_batches(
    records: Path,
    manifest: Manifest,
    split: str,
    clip: ClipConfig,
    batch_size: int,
    seed: int,
    *,
    rank: int = 0,
    ranks: int = 1,
    first_epoch: int = 0,
    first_step: int = 0,
    held_out: Collection[str] = (),
    workers: int = 0,
    watchdog: Watchdog | None = None,
) -> ds.Dataset:
    """Batches of the training images of `split`: clip, which is image_NHWC uint8, label_N int32 and weight_N float32.

    Order, ranks and padding are those of `stream.training_batches`: functions of seed and epoch alone. Crops, flips and
    AutoAugment are drawn by MindData's operators, whose generators are seeded here, by seed, rank and place of the start.

    Args:
        first_epoch, first_step, held_out, watchdog: see `stream.training_batches`.
        workers: threads that decode and augment; 0 is one for every core this process may use.

    Raises:
        InputError: there is no such split, or it has fewer training images than a batch.
    """
    images = training_videos(records, manifest, split, batch_size, held_out)

    def load(place: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]]:
        _, _, index, counts = place.tolist()
        (jpeg,) = read_frames(images[index], FIRST_FRAME)
        if watchdog:
            watchdog.count(read=1)
        return np.frombuffer(jpeg, np.uint8), np.array(images[index].label, np.int32), np.array(counts, np.float32)

    def counted(weight_N: NDArray[np.float32]) -> NDArray[np.float32]:
        if watchdog:
            watchdog.count(decoded=len(weight_N))
        return weight_N

    orders = EpochOrders(
        lambda epoch: epoch_order(len(images), batch_size, seed, epoch, rank, ranks), first_epoch, first_step * batch_size
    )
    seed_operators(seed, rank, first_epoch, first_step)
    stream = ds.GeneratorDataset(orders, ["place"], shuffle=False, num_parallel_workers=1)
    stream = stream.map(load, ["place"], ["clip", "label", "weight"], num_parallel_workers=1)
    stream = stream.map(
        augmentations(clip), ["clip"], num_parallel_workers=min(workers or available_cpus(), available_cpus())
    )
    stream = stream.batch(batch_size, drop_remainder=True, num_parallel_workers=1)
    return stream.map(counted, ["weight"], num_parallel_workers=1)


def seed_operators(*numbers: int) -> None:
    """Seed the generators of MindData's operators in the streams that are iterated from here on."""
    ds.config.set_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def augmentations(clip: ClipConfig) -> list[ds.transforms.transforms.TensorOperation]:
    """From a JPEG's bytes to (size, size, 3) RGB uint8, by MindData's operators."""
    operations = [
        vision.RandomCropDecodeResize(clip.size, clip.crop_scale, clip.crop_ratio),
        vision.RandomHorizontalFlip(clip.flip),
    ]
    if clip.autoaugment != "none":
        operations.append(autoaugment(as_published=clip.autoaugment == "as_published"))
    return operations
