"""Shards to batches, through MindData. Only bytes leave the host; every random choice is a function of its place."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
from numpy.typing import NDArray

from mindrecord.manifest import Manifest
from mindrecord.slices import Video, read_frames, videos_of
from preprocess.catalog import TRAIN
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train.autoaugment import autoaugment
from train.config import ClipConfig
from train.sampling import SAMPLERS, Indices, Views
from train.transforms import (
    centre_crop,
    decode_clip,
    decode_views,
    evaluated_squares,
    frame_size,
    jitter_colour,
    multi_scale_crop,
    random_resized_crop,
)

FIRST_BATCH_S = 60.0


class Watchdog:
    """Says in one line which stage is stuck when the first batch has not come after `seconds`, and goes on waiting.

    The workers of `training_batches` count into it, `counts`, if they are threads; who takes the first batch calls `stop`.
    """

    def __init__(self, batch_size: int, seconds: float = FIRST_BATCH_S, counts: bool = True) -> None:
        self.batch_size = batch_size
        self.counts = counts
        self.seconds = seconds
        self.read = self.decoded = 0
        self.lock = threading.Lock()
        self.came = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def count(self, read: int = 0, decoded: int = 0) -> None:
        """So many more clips have been read, or decoded and augmented."""
        with self.lock:
            self.read += read
            self.decoded += decoded

    def watch(self) -> None:
        if not self.came.wait(self.seconds):
            say(f"no batch after {self.seconds:g} s: {self.stage()}; still waiting")

    def stage(self) -> str:
        """What has not come to its end."""
        if not self.counts:
            return "stuck in reading, decoding or batching (which of them, --loader threads would say)"
        if self.decoded >= self.batch_size:
            return "stuck in batching, or the network is still being compiled"
        clips = f"{self.read} clips read, {self.decoded} decoded, {self.batch_size} wanted"
        return f"stuck in {'decoding and augmenting' if self.read > self.decoded else 'reading shards'} ({clips})"

    def stop(self) -> None:
        """The first batch is there."""
        self.came.set()


def epoch_order(videos: int, batch_size: int, seed: int, epoch: int, rank: int = 0, ranks: int = 1) -> NDArray[np.int64]:
    """What a rank trains on in an epoch: (places, 3), each a position in the epoch's order, a video, and whether it counts.

    The order is a permutation of all videos, drawn from seed and epoch; ranks take its positions in turn. What it lacks to
    whole batches for each rank is padded with videos from its beginning, which do not count: every video counts once.
    """
    places = -(-videos // (ranks * batch_size)) * batch_size
    order = np.random.default_rng([seed, epoch]).permutation(videos)
    position = rank + ranks * np.arange(places)
    return np.stack([position, order[position % videos], position < videos], axis=1)


class EpochOrders:
    """Yields an epoch's (epoch, position, video, counts), place by place, and the next epoch's when iterated anew.

    With `first_place` it begins within its first epoch, and that is its only one.

    This is all that a sample's random choices depend on, with the seed: the stream is the same for any number of workers.
    """

    def __init__(self, order: Callable[[int], NDArray[np.int64]], first_epoch: int, first_place: int) -> None:
        self.order = order
        self.next_epoch = first_epoch
        self.first_place = first_place

    def __len__(self) -> int:
        return len(self.order(0)) - self.first_place

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        epoch, self.next_epoch = self.next_epoch, self.next_epoch + 1
        for place in self.order(epoch)[self.first_place :]:
            yield np.array([epoch, *place])


def clip_rng(seed: int, epoch: int, position: int, video: str) -> np.random.Generator:
    """The generator of one sample's random choices: a function of (seed, epoch, position, video)."""
    return np.random.default_rng([seed, epoch, position, zlib.crc32(video.encode())])


def videos_of_split(records: Path, manifest: Manifest, split: str, flag: int, without: Collection[str] = ()) -> list[Video]:
    """The videos with `flag` in `split`, in the order of the shards, but for those `without`, named Class/video_id."""
    found = [video for shard in manifest.shards_of(split, flag) for video in videos_of(records / shard.file)]
    return [video for video in found if name_of(video) not in without]


def training_videos(
    records: Path, manifest: Manifest, split: str, batch_size: int, held_out: Collection[str]
) -> list[Video]:
    """The training videos of `split` but those held out. Raises InputError when they are fewer than a batch."""
    videos = videos_of_split(records, manifest, split, TRAIN, held_out)
    if len(videos) < batch_size:
        raise InputError(
            f"split {split} of {records} has {len(videos)} training videos, a batch is {batch_size}: "
            "choose a smaller --batch-size"
        )
    return videos


def name_of(video: Video) -> str:
    """`Class/video_id`."""
    return f"{video.class_name}/{video.video_id}"


def training_batches(
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
    processes: bool = False,
    watchdog: Watchdog | None = None,
) -> ds.Dataset:
    """Batches of the training videos of `split`: clip_NTHWC uint8, label_N int32 and weight_N float32.

    One clip of each video an epoch over all ranks, in an order drawn anew each epoch. Weights are 1, and 0 for what pads the
    last batch. One crop, one flip and one change of colour a clip, shared by its frames. Only its frames are read.

    Args:
        first_epoch: where the first iteration begins, counted from 0; what follows is as if the others had come before.
        first_step: where within that epoch, which is then the only one.
        held_out: videos to leave out, named Class/video_id.
        workers: threads that read and decode; 0 is one for every core this process may use.
        processes: use processes instead of threads.
        watchdog: is told how far the first batch is.

    Raises:
        InputError: there is no such split, or it has fewer training videos than a batch.
    """
    videos = training_videos(records, manifest, split, batch_size, held_out)

    def load(
        places: NDArray[np.int64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]]:
        clip_NTHWC = np.empty((len(places), clip.frames, clip.size, clip.size, 3), np.uint8)
        labels = np.empty(len(places), np.int32)
        for n, (epoch, position, index, _) in enumerate(places.tolist()):
            video = videos[index]
            labels[n] = video.label
            rng = clip_rng(seed, epoch, position, name_of(video))
            wanted, repeats = distinct(SAMPLERS[clip.sampling](video.frames, clip.frames, clip.stride, rng))
            jpegs = read_frames(video, wanted)
            if watchdog:
                watchdog.count(read=1)
            augmented(jpegs, clip, rng, clip_NTHWC[n, : len(wanted)])
            if repeats is not None:
                clip_NTHWC[n] = clip_NTHWC[n, repeats]
            if watchdog:
                watchdog.count(decoded=1)
        return clip_NTHWC, labels, places[:, 3].astype(np.float32)

    orders = EpochOrders(
        lambda epoch: epoch_order(len(videos), batch_size, seed, epoch, rank, ranks), first_epoch, first_step * batch_size
    )
    stream = ds.GeneratorDataset(orders, ["place"], shuffle=False, num_parallel_workers=1)
    stream = stream.batch(batch_size, drop_remainder=True, num_parallel_workers=1)
    return stream.map(  # a batch at a time: a clip is written where it stays
        load,
        ["place"],
        ["clip", "label", "weight"],
        num_parallel_workers=min(workers or available_cpus(), available_cpus()),
        python_multiprocessing=processes,
    )


def distinct(frames: Indices) -> tuple[Indices, Indices | None]:
    """The frames ascending, each once, and, if any comes twice or out of order, where in them each of `frames` is."""
    if (np.diff(frames) > 0).all():
        return frames, None
    return np.unique(frames, return_inverse=True)


def augmented(jpegs: list[memoryview], clip: ClipConfig, rng: np.random.Generator, out_THWC: NDArray[np.uint8]) -> None:
    """Write the frames into `out_THWC`, with one crop, one flip and one change of colour drawn from `rng`; an image also
    with one of AutoAugment's sub-policies."""
    height, width = frame_size(jpegs[0])
    if clip.crop == "resized":
        box = random_resized_crop(height, width, clip.crop_scale, clip.crop_ratio, rng)
    else:
        box = multi_scale_crop(height, width, rng) if clip.crop == "multiscale" else centre_crop(height, width)
    decode_clip(jpegs, box, bool(rng.random() < clip.flip), out_THWC)
    if any(clip.jitter):
        jitter_colour(out_THWC, *(rng.uniform(1 - most, 1 + most) for most in clip.jitter))
    if clip.autoaugment != "none":
        out_THWC[0] = autoaugment(out_THWC[0], clip.autoaugment == "as_published", rng)


def whole_videos(
    videos: Sequence[Video], clip: ClipConfig, workers: int = 0
) -> Iterator[tuple[str, str, int, NDArray[np.uint8]]]:
    """The videos one by one, decoded ahead: class name, video id, label and windows_WTHWC uint8.

    The windows are all without overlap, in the clip's test_crops; see `decode_windows`.
    """
    views = Views(crops=clip.test_crops)
    parts = [VideoPart(video, 0, views.count(video.frames, clip.frames, clip.stride)) for video in videos]
    for video, windows_WTHWC in zip(videos, decoded_ahead(parts, clip, views, workers), strict=True):
        yield video.class_name, video.video_id, video.label, windows_WTHWC


@dataclass(frozen=True)
class VideoPart:
    """The windows `first` to `end` - 1 of a video."""

    video: Video
    first: int
    end: int


def decoded_ahead(
    parts: Sequence[VideoPart], clip: ClipConfig, views: Views, workers: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """The windows_WTHWC of each part, in order, decoded by so many threads (0: one a core) ahead of who takes them."""
    workers = workers or available_cpus()
    pending: deque[Future[NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in parts:
                pending.append(pool.submit(decode_windows, part, clip, views))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def decode_windows(part: VideoPart, clip: ClipConfig, views: Views) -> NDArray[np.uint8]:
    """A part's windows_WTHWC uint8. Each frame is read and decoded once, however many windows share it.

    All windows of the first square come first, then those of the next; the mirrored ones come last.
    """
    index_WT = views.windows(part.video.frames, clip.frames, clip.stride)
    square, window = np.divmod(np.arange(part.first, part.end), len(index_WT))
    wanted, place = np.unique(index_WT[window], return_inverse=True)
    jpegs = read_frames(part.video, wanted)
    boxes = evaluated_squares(*frame_size(jpegs[0]), views.crops, clip.test_share)
    frames_CFHWC = np.empty((len(boxes), len(jpegs), clip.size, clip.size, 3), np.uint8)
    decode_views(jpegs, boxes, frames_CFHWC)
    if views.flip:
        frames_CFHWC = np.concatenate([frames_CFHWC, frames_CFHWC[:, :, :, ::-1]])
    windows_WTHWC: NDArray[np.uint8] = frames_CFHWC[square[:, None], place.reshape(-1, clip.frames)]
    return windows_WTHWC
