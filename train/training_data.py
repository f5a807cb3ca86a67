"""Shards to batches, through MindData. Only bytes leave the host; every random choice is a function of its place."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
from numpy.typing import NDArray

from mindrecord.manifest import Manifest
from mindrecord.shard_reader import Video, read_frames, videos_of_split
from preprocess.catalog import TRAIN
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from train.autoaugment import autoaugment
from train.config import ClipConfig
from train.sampling import SAMPLERS, Indices
from train.transforms import CROPS, decode_clip, frame_size, jitter_colour
from train.watchdog import Watchdog


def epoch_indices(videos: int, batch_size: int, seed: int, epoch: int, rank: int = 0, ranks: int = 1) -> NDArray[np.int64]:
    """What a rank trains on in an epoch: (places, 3), each a position in the epoch's order, a video, and whether it counts.

    The order is a permutation of all videos, drawn from seed and epoch; ranks take its positions in turn. The tail is padded
    with videos from the start, which do not count, so that every rank gets full batches and every video counts once.
    """
    places = -(-videos // (ranks * batch_size)) * batch_size
    order = np.random.default_rng([seed, epoch]).permutation(videos)
    position = rank + ranks * np.arange(places)
    return np.stack([position, order[position % videos], position < videos], axis=1)


class EpochSampler:
    """Yields (epoch, position, video, counts), place by place, epoch by epoch, in the first of them from `first_place` on.

    Iterated again it yields the same: MindSpore begins iterations of its own, for a look at types and shapes.

    With the seed, this is all that a sample's random choices depend on.
    """

    def __init__(self, order: Callable[[int], NDArray[np.int64]], epochs: range, first_place: int = 0) -> None:
        self.order = order
        self.epochs = epochs
        self.first_place = first_place

    def __len__(self) -> int:
        return len(self.order(0)) * len(self.epochs) - self.first_place

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        for epoch in self.epochs:
            for place in self.order(epoch)[self.first_place if epoch == self.epochs[0] else 0 :]:
                yield np.array([epoch, *place])


def clip_rng(seed: int, epoch: int, position: int, video: str) -> np.random.Generator:
    """The generator of one sample's random choices: a function of (seed, epoch, position, video)."""
    return np.random.default_rng([seed, epoch, position, zlib.crc32(video.encode())])


def training_videos(
    records: Path, manifest: Manifest, split: str, batch_size: int, held_out: Collection[str] = ()
) -> list[Video]:
    """The training videos of `split` without those held out, which are named Class/video_id.

    Raises:
        InputError: there is no such split, or it has fewer training videos than a batch.
    """
    videos = videos_of_split(records, manifest, split, TRAIN, held_out)
    if len(videos) < batch_size:
        raise InputError(
            f"split {split} of {records} has {len(videos)} training videos, a batch is {batch_size}: "
            "choose a smaller --batch-size"
        )
    return videos


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a rank trains on: one clip of each video an epoch over all ranks, in an order drawn for each epoch.

    The stream is a function of the videos, `seed` and `ranks`: it is the same for any number of workers, and for a run that
    was resumed.
    """

    videos: Sequence[Video]
    """Those of all ranks; see `training_videos`."""
    clip: ClipConfig
    batch_size: int
    """Clips a step of this rank."""
    seed: int
    rank: int = 0
    ranks: int = 1
    workers: int = 0
    """Threads that read and decode; 0 is one for each CPU this process may use."""
    processes: bool = False
    """Use processes instead of threads."""
    watchdog: Watchdog | None = None
    """Is told how far the first batch is."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch; the last one is padded."""
        return -(-len(self.videos) // (self.ranks * self.batch_size))

    def indices(self, epoch: int) -> NDArray[np.int64]:
        """This rank's `epoch_indices`."""
        return epoch_indices(len(self.videos), self.batch_size, self.seed, epoch, self.rank, self.ranks)

    def batch_names(self, epoch: int, step: int) -> list[str]:
        """The videos of one batch, each Class/video_id."""
        rows = self.indices(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        return [self.videos[video].name for video in rows[:, 1]]

    def batches(self, epochs: range = range(1), step: int = 0) -> ds.Dataset:
        """Batches of these epochs, as one MindData epoch: clip_NTHWC uint8, label_N int32 and weight_N float32.

        They begin at a step of the first epoch. Weights are 1, and 0 for what pads an epoch's last batch. One crop, one flip
        and one change of colour a clip, shared by its frames. Only the frames of a clip are read.
        """
        sampler = EpochSampler(self.indices, epochs, step * self.batch_size)
        stream = ds.GeneratorDataset(sampler, ["place"], shuffle=False, num_parallel_workers=1)
        stream = stream.batch(self.batch_size, drop_remainder=True, num_parallel_workers=1)
        return stream.map(  # a batch at a time: a clip is written where it stays
            self.load,
            ["place"],
            ["clip", "label", "weight"],
            num_parallel_workers=min(self.workers or available_cpus(), available_cpus()),
            python_multiprocessing=self.processes,
        )

    def load(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]]:
        """One batch of what `EpochSampler` yields: read, decoded and augmented."""
        clip = self.clip
        clip_NTHWC = np.empty((len(places), clip.frames, clip.size, clip.size, 3), np.uint8)
        labels = np.empty(len(places), np.int32)
        for n, (epoch, position, index, _) in enumerate(places.tolist()):
            video = self.videos[index]
            labels[n] = video.label
            rng = clip_rng(self.seed, epoch, position, video.name)
            wanted, repeats = distinct(SAMPLERS[clip.sampling](video.frames, clip.frames, clip.stride, rng))
            jpegs = read_frames(video, wanted)
            self.count(read=1)
            augmented(jpegs, clip, rng, clip_NTHWC[n, : len(wanted)])
            if repeats is not None:
                clip_NTHWC[n] = clip_NTHWC[n, repeats]
            self.count(decoded=1)
        return clip_NTHWC, labels, places[:, 3].astype(np.float32)

    def count(self, read: int = 0, decoded: int = 0) -> None:
        """Count in the watchdog, if the stream has one."""
        if self.watchdog:
            self.watchdog.count(read, decoded)


def distinct(frames: Indices) -> tuple[Indices, Indices | None]:
    """The frames ascending, each once, and, if any comes twice or out of order, where in them each of `frames` is."""
    if (np.diff(frames) > 0).all():
        return frames, None
    return np.unique(frames, return_inverse=True)


def augmented(jpegs: list[memoryview], clip: ClipConfig, rng: np.random.Generator, out_THWC: NDArray[np.uint8]) -> None:
    """Write the frames into `out_THWC`, with one crop, one flip and one change of colour drawn from `rng`; an image also
    with one of AutoAugment's sub-policies."""
    height, width = frame_size(jpegs[0])
    box = CROPS[clip.crop](height, width, clip.crop_scale, clip.crop_ratio, rng)
    decode_clip(jpegs, box, bool(rng.random() < clip.flip), out_THWC)
    if any(clip.jitter):
        jitter_colour(out_THWC, *(rng.uniform(1 - most, 1 + most) for most in clip.jitter))
    if clip.autoaugment != "none":
        out_THWC[0] = autoaugment(out_THWC[0], clip.autoaugment == "as_published", rng)
