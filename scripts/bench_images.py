"""The part of scripts/bench_stream.py that is about images: our stream against the same work through PIL.

Both read the JPEGs from the same shards in the same order, and both crop, resize and flip at random as the recipe says,
without AutoAugment and with it. Each side runs by itself in a fresh process, in turn with the others; its first epoch is not
counted. A core's rate is images a second of CPU time, which does not depend on how many cores there are.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import mindspore.dataset as ds
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from mindrecord import manifest
from mindrecord.shard_reader import read_frames
from scripts.benchmarking import Figures, alone, timed, timed_stream
from train.autoaugment import GREY, POLICY, magnitude
from train.config import RECIPES, AutoAugment, ClipConfig, load_recipe
from train.training_data import EpochSampler, TrainingData, clip_rng, epoch_indices, training_videos
from train.transforms import random_resized_crop

RECIPE = RECIPES / "imagenet_glore50.yaml"
BATCH = 32
SEED = 1
PLAIN: AutoAugment = "none"
AUGMENTED: AutoAugment = "imagenet"
SUFFIXES: dict[AutoAugment, str] = {PLAIN: "", AUGMENTED: "_autoaugment"}


def compare(records: Path, split: str, workers: int, epochs: int, repeats: int) -> dict[str, Any]:
    """Images a second of CPU time, ours and PIL's, without and with AutoAugment; medians of `repeats`."""
    runs: dict[Any, list[Figures]] = {(side, policy): [] for policy in SUFFIXES for side in (ours, pil)}
    for _ in range(repeats):
        for side, policy in runs:
            runs[side, policy].append(alone(side, records, split, policy, workers, epochs))
    result: dict[str, Any] = {"kind": "image"}
    for policy, suffix in SUFFIXES.items():
        cpu_ms = {side: median(figures["cpu_ms"] for figures in runs[side, policy]) for side in (ours, pil)}
        for side in (ours, pil):
            rate = median(figures["clips_per_s"] for figures in runs[side, policy])
            result[f"{side.__name__}_images_per_s{suffix}"] = rate
            result[f"{side.__name__}_images_per_s_a_core{suffix}"] = 1e3 / cpu_ms[side]
            result[f"{side.__name__}_cpu_ms_per_image{suffix}"] = cpu_ms[side]
        result[f"ours_over_pil{suffix}"] = cpu_ms[pil] / cpu_ms[ours]
    result["bytes_read_per_image"] = median(figures["bytes_read"] for figures in runs[ours, PLAIN])
    result["bytes_sent_per_image"] = 3 * clip_of(PLAIN).size ** 2
    return result | {"workers": workers, "repeats": repeats}


def clip_of(policy: AutoAugment) -> ClipConfig:
    """The recipe's images with this AutoAugment."""
    return replace(load_recipe(RECIPE).clip, autoaugment=policy)


def ours(records: Path, split: str, policy: AutoAugment, workers: int, epochs: int) -> Figures:
    """The stream as training uses it, by threads."""
    videos = training_videos(records, manifest.load(records), split, BATCH)
    data = TrainingData(videos=videos, clip=clip_of(policy), batch_size=BATCH, seed=SEED, workers=workers)
    batches = data.batches(range(1 + epochs)).create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)
    return timed_stream(batches, data.steps_per_epoch)


def pil(records: Path, split: str, policy: AutoAugment, workers: int, epochs: int) -> Figures:
    """The same through PIL, in as many threads."""
    clip = clip_of(policy)
    images = training_videos(records, manifest.load(records), split, BATCH)

    def load(place: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        epoch, position, index, _ = place.tolist()
        rng = clip_rng(SEED, epoch, position, images[index].name)
        (jpeg,) = read_frames(images[index], np.zeros(1, np.int64))
        return np.asarray(augmented(bytes(jpeg), clip, rng)), np.array(images[index].label, np.int32)

    orders = EpochSampler(lambda epoch: epoch_indices(len(images), BATCH, SEED, epoch), range(1))
    stream = ds.GeneratorDataset(orders, ["place"], shuffle=False, num_parallel_workers=1)
    stream = stream.map(load, ["place"], ["clip", "label"], num_parallel_workers=workers)
    return timed(stream.batch(BATCH, drop_remainder=True, num_parallel_workers=1), epochs)


def augmented(jpeg: bytes, clip: ClipConfig, rng: np.random.Generator) -> Image.Image:
    """A JPEG decoded, cropped and resized, flipped, and, where the clip says so, with one of the policy's sub-policies."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        image = opened.convert("RGB")
    box = random_resized_crop(image.height, image.width, clip.crop_scale, clip.crop_ratio, rng)
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    image = image.resize((clip.size, clip.size), Image.Resampling.BILINEAR, edges)
    if rng.random() < clip.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if clip.autoaugment != PLAIN:
        for name, probability, level in POLICY[int(rng.integers(len(POLICY)))]:
            if rng.random() < probability:
                image = operated(image, name, magnitude(name, level), 1 if rng.random() < 0.5 else -1)
    return image


def operated(image: Image.Image, name: str, value: float, sign: int) -> Image.Image:
    """One of the policy's operations through PIL; see `train.autoaugment.magnitude`."""
    if name == "rotate":
        return image.rotate(sign * value, fillcolor=(GREY,) * 3)
    if name == "shear_x":
        shear = (1.0, sign * value, 0.0, 0.0, 1.0, 0.0)
        return image.transform(image.size, Image.Transform.AFFINE, shear, fillcolor=(GREY,) * 3)
    if name in ENHANCERS:
        enhanced: Image.Image = ENHANCERS[name](image).enhance(value)
        return enhanced
    if name == "solarize":
        return ImageOps.solarize(image, int(value))
    if name == "posterize":
        return ImageOps.posterize(image, int(value))
    if name == "equalize":
        return ImageOps.equalize(image)
    return ImageOps.invert(image) if name == "invert" else ImageOps.autocontrast(image)


ENHANCERS: dict[str, Any] = {
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}
