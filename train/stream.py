"""Shards to batches, through MindData. Only bytes leave the host; every random choice is a function of its place."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
from numpy.typing import NDArray

from mindrecord.manifest import Manifest, Shard
from preprocess.catalog import TEST, TRAIN
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from train.config import ClipConfig
from train.sampling import dense_clip, windows
from train.transforms import decode_clip, frame_size, random_resized_crop


class EpochPositions:
    """Yields (epoch, position) for each row of an epoch, and begins the next epoch each time it is iterated anew.

    Zipped with the shuffled rows it tells each sample where in the run it stands, which with the seed is all that its
    random choices depend on: the stream is the same for any number of workers.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.epoch = -1

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[tuple[np.int64, np.int64]]:
        self.epoch += 1
        for position in range(self.rows):
            yield np.int64(self.epoch), np.int64(position)


def clip_rng(seed: int, epoch: int, position: int, video: str) -> np.random.Generator:
    """The generator of one sample's random choices: a function of (seed, epoch, position, video)."""
    return np.random.default_rng([seed, epoch, position, zlib.crc32(video.encode())])


def training_batches(
    records: Path, manifest: Manifest, split: str, clip: ClipConfig, batch_size: int, seed: int
) -> ds.Dataset:
    """Batches of the training videos of `split`: clip_NTHWC uint8 and label_N int32.

    One clip of each video an epoch, in an order drawn anew each epoch; what does not fill a batch is left for other
    epochs. One crop and one flip a clip, shared by its frames.

    Raises:
        InputError: there is no such split, or it has fewer training videos than a batch.
    """
    shards = manifest.shards_of(split, TRAIN)
    rows = sum(shard.rows for shard in shards)
    if rows < batch_size:
        raise InputError(
            f"split {split} of {records} has {rows} training videos, a batch is {batch_size}: choose a smaller --batch-size"
        )

    def sample(
        class_name: NDArray[np.str_],
        video_id: NDArray[np.str_],
        label: NDArray[np.int32],
        offsets: NDArray[np.int64],
        jpegs: NDArray[np.bytes_],
        epoch: NDArray[np.int64],
        position: NDArray[np.int64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        rng = clip_rng(seed, int(epoch), int(position), f"{class_name}/{video_id}")
        data = jpegs.view(np.uint8)
        frames = dense_clip(len(offsets) - 1, clip.frames, clip.stride, rng.random())
        box = random_resized_crop(*frame_size(data, offsets), clip.crop_scale, clip.crop_ratio, rng)
        return decode_clip(data, offsets, frames, clip.size, box, bool(rng.random() < clip.flip)), label

    ds.config.set_seed(seed)
    columns = ["class_name", "video_id", "label", "offsets", "jpegs"]
    stream = ds.zip(
        (
            ds.MindDataset(paths(records, shards), columns_list=columns, shuffle=ds.Shuffle.GLOBAL, num_parallel_workers=1),
            ds.GeneratorDataset(EpochPositions(rows), ["epoch", "position"], shuffle=False, num_parallel_workers=1),
        )
    )
    stream = stream.map(sample, [*columns, "epoch", "position"], ["clip", "label"], num_parallel_workers=available_cpus())
    return stream.project(["clip", "label"]).batch(batch_size, drop_remainder=True, num_parallel_workers=1)


def whole_videos(
    records: Path, manifest: Manifest, split: str, clip: ClipConfig
) -> Iterator[tuple[str, str, int, NDArray[np.uint8]]]:
    """The test videos of `split`, one by one: class name, video id, label and windows_WTHWC uint8, centre-cropped.

    Each frame is decoded once, however many windows share it.
    """

    def sample(
        label: NDArray[np.int32], offsets: NDArray[np.int64], jpegs: NDArray[np.bytes_]
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        index_WT = windows(len(offsets) - 1, clip.frames, clip.stride)
        wanted, place = np.unique(index_WT, return_inverse=True)
        frames_FHWC = decode_clip(jpegs.view(np.uint8), offsets, wanted, clip.size, None, False)
        return label, frames_FHWC[place.reshape(index_WT.shape)]

    shards = manifest.shards_of(split, TEST)
    columns = ["class_name", "video_id", "label", "offsets", "jpegs"]
    stream = ds.MindDataset(paths(records, shards), columns_list=columns, shuffle=False, num_parallel_workers=1)
    stream = stream.map(sample, ["label", "offsets", "jpegs"], ["label", "windows"], num_parallel_workers=available_cpus())
    for row in stream.create_dict_iterator(num_epochs=1, output_numpy=True):
        yield str(row["class_name"]), str(row["video_id"]), int(row["label"]), row["windows"]


def paths(records: Path, shards: list[Shard]) -> list[str]:
    """The shards' files, as MindDataset takes them."""
    return [str(records / shard.file) for shard in shards]
