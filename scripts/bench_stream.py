"""Time our stream of training clips against the way of the published MindSpore code, in turn, and print the ratios.

    python scripts/bench_stream.py --frames work/frames --records work/records
    python scripts/bench_stream.py --kind image --records work/imagenet

With --kind image, see scripts/bench_images.py. The rest is about clips.

The published way opens 16 JPEG files a clip with PIL in a generator, and takes frame by frame through MindSpore's vision
operations in the `per_batch_map` of a batch. Ours is what training uses, random crop and flip included, which the published
way does without. Both are timed with their workers as threads and as processes, and the quicker counts. The third rate is
that of libjpeg-turbo merely decoding the frames of such clips. Each runs by itself in a new process with `--workers`
workers, and its first epoch is not counted. --frames may be of another size than --records: the published way has no use for
smaller frames than the data set's.

The share of the time that one worker of ours holds the GIL is seen by a thread that wakes every 2 ms: see `gil_share`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import mindspore.dataset as ds
import numpy as np
import simplejpeg
from mindspore.dataset import vision
from numpy.typing import NDArray
from PIL import Image

from mindrecord import manifest
from mindrecord.manifest import Manifest
from mindrecord.shard_reader import Video, read_frames, videos_of_split
from preprocess import catalog
from preprocess.catalog import TRAIN
from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.frame_store import FRAME_NAME
from scripts import bench_images
from scripts.benchmarking import Figures, alone, cpu_seconds, report, timed, timed_stream
from train.config import DEFAULT_RECIPE, load_recipe
from train.sampling import dense_clip
from train.training_data import TrainingData, training_videos

BATCH = 16
PROBE_S = 0.002
THREE_QUARTERS = 0.75


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time our stream of training clips against the way of the published MindSpore code, in turn."""

    kind: Literal["clip", "image"] = "clip"
    """What the records hold; images are timed against the same work through PIL, without and with AutoAugment."""
    frames: Path = Path("work/frames")
    """A frames folder, a file a frame."""
    records: Path = Path("work/records")
    """The same frames packed."""
    split: str = "1"
    """Whose training videos."""
    json: Path | None = None
    """Write the figures here too, with machine, versions, commit and date."""
    repeats: int = 3
    """How often each side runs, in turn; medians count."""
    workers: int = 2
    """Threads or processes of each side."""
    epochs: int = 3
    """Epochs that are timed of each run, after one that is not."""


def main(options: Options) -> int:
    packed = manifest.load(options.records)
    packed.split_index(options.split)  # or it says which there are
    if options.kind == "image":
        result = bench_images.compare(options.records, options.split, options.workers, options.epochs, options.repeats)
    else:
        result = compare_clips(options, packed)
    data = {"dataset": packed.dataset, "training_videos": sum(packed.class_videos[options.split]["train"])}
    report(options.kind, {**data, **result}, options.json)
    return 0


def compare_clips(options: Options, packed: Manifest) -> dict[str, Any]:
    """Our stream, the published way and mere decoding, in turn; medians."""
    clip = load_recipe(DEFAULT_RECIPE).clip
    _, extracted = catalog.load(options.frames)
    if sum(packed.class_videos[options.split]["train"]) < BATCH:
        raise InputError(f"{options.records} has fewer than {BATCH} training videos in split {options.split}: take more")
    sides: dict[str, Callable[[], Figures]] = {
        "published_threads": lambda: alone(published, options, False),
        "published_processes": lambda: alone(published, options, True),
        "ours_threads": lambda: alone(ours, options, False),
        "ours_processes": lambda: alone(ours, options, True),
        "decode": lambda: alone(decode, options),
    }
    runs: dict[str, list[Figures]] = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, run in sides.items():
            runs[name].append(run())
    rate = {name: median(figures["clips_per_s"] for figures in found) for name, found in runs.items()}
    cpu_ms = {name: median(figures["cpu_ms"] for figures in found) for name, found in runs.items()}
    theirs, best = (max(f"{side}_threads", f"{side}_processes", key=lambda n: rate[n]) for side in ("published", "ours"))
    return {
        "clip_frames": clip.frames,
        "clip_size": clip.size,
        "short_side": packed.frame_settings.short_side,
        "published_short_side": extracted.frame_settings.short_side,
        "published_clips_per_s": rate[theirs],
        "ours_clips_per_s": rate[best],
        "decode_clips_per_s": rate["decode"],
        "ours_over_published": rate[best] / rate[theirs],
        "ours_over_decode": rate[best] / rate["decode"],
        "published_workers": theirs.removeprefix("published_"),
        "ours_workers": best.removeprefix("ours_"),
        "ours_threads_clips_per_s": rate["ours_threads"],
        "ours_processes_clips_per_s": rate["ours_processes"],
        "published_cpu_ms_per_clip": cpu_ms[theirs],
        "ours_cpu_ms_per_clip": cpu_ms[best],
        "decode_cpu_ms_per_clip": cpu_ms["decode"],
        "gil_held": median(gil_share(options) for _ in range(options.repeats)),
        "bytes_read_per_clip": median(figures["bytes_read"] for figures in runs[best]),
        "bytes_on_disk_per_clip": sum(s.size_bytes for s in packed.shards) / sum(s.videos for s in packed.shards),
        "bytes_sent_per_clip": 3 * clip.frames * clip.size**2,
        "workers": options.workers,
        "repeats": options.repeats,
    }


def ours(options: Options, processes: bool) -> Figures:
    """The stream as training uses it: all epochs in one."""
    data = our_data(options, options.workers, processes)
    batches = data.batches(range(1 + options.epochs))
    return timed_stream(batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False), data.steps_per_epoch)


def our_data(options: Options, workers: int, processes: bool) -> TrainingData:
    packed, clip = manifest.load(options.records), load_recipe(DEFAULT_RECIPE).clip
    videos = training_videos(options.records, packed, options.split, BATCH)
    return TrainingData(videos=videos, clip=clip, batch_size=BATCH, seed=1, workers=workers, processes=processes)


class FrameFiles:
    """The published source: a clip's JPEG files opened with PIL, as one array."""

    def __init__(self, options: Options) -> None:
        self.clip = load_recipe(DEFAULT_RECIPE).clip
        self.rng = np.random.default_rng(0)
        self.videos = [(options.frames / v.class_name / v.video_id, v.frames, v.label) for v in our_videos(options)]
        first = self.videos[0][0] / FRAME_NAME.format(1)
        if not first.is_file():
            raise InputError(f"--frames {options.frames} has no {first}: extract what is packed with --layout dir")

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        folder, count, label = self.videos[int(index)]
        frames = []
        for i in dense_clip(count, self.clip.frames, self.clip.stride, self.rng).tolist():
            with Image.open(folder / FRAME_NAME.format(i + 1)) as image:
                frames.append(np.asarray(image.convert("RGB")))
        return np.stack(frames), np.array(label, np.int32)


def published(options: Options, processes: bool) -> Figures:
    """The published way: files and PIL in a generator, MindSpore's operations frame by frame in a batch's per_batch_map."""
    clip = load_recipe(DEFAULT_RECIPE).clip
    operations = [
        vision.ToPIL(),
        vision.Resize(clip.size),
        vision.CenterCrop(clip.size),
        vision.ToTensor(),
        vision.Normalize(clip.mean, clip.std, is_hwc=False),
    ]

    def transform(
        clips: list[NDArray[np.uint8]], labels: list[NDArray[np.int32]], info: Any
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int32]]]:
        clips_CTHW = []
        for clip_THWC in clips:
            frames = []
            for frame in clip_THWC:
                for operation in operations:
                    frame = operation(frame)
                frames.append(frame)
            clips_CTHW.append(np.array(frames).transpose(1, 0, 2, 3))
        return clips_CTHW, labels

    parallel = {"num_parallel_workers": options.workers, "python_multiprocessing": processes}
    source = ds.GeneratorDataset(FrameFiles(options), ["clip", "label"], shuffle=True, **parallel)
    batches = source.batch(BATCH, drop_remainder=True, per_batch_map=transform, input_columns=["clip", "label"], **parallel)
    return timed(batches, options.epochs)


def decode(options: Options) -> Figures:
    """libjpeg-turbo alone, on clips already read, in `workers` threads."""
    clip, rng = load_recipe(DEFAULT_RECIPE).clip, np.random.default_rng(0)
    clips = [
        [bytes(jpeg) for jpeg in read_frames(v, np.unique(dense_clip(v.frames, clip.frames, clip.stride, rng)))]
        for v in our_videos(options)
    ]

    def decode_one(jpegs: list[bytes]) -> None:
        for jpeg in jpegs:
            simplejpeg.decode_jpeg(jpeg, "RGB")

    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(decode_one, clips))
        cpu_s, began = cpu_seconds(), time.perf_counter()
        for _ in range(options.epochs):
            list(pool.map(decode_one, clips))
    done = len(clips) * options.epochs
    return {
        "clips_per_s": done / (time.perf_counter() - began),
        "cpu_ms": (cpu_seconds() - cpu_s) / done * 1e3,
        "bytes_read": 0.0,
    }


def our_videos(options: Options) -> list[Video]:
    """The training videos packed."""
    return videos_of_split(options.records, manifest.load(options.records), options.split, TRAIN)


def gil_share(options: Options) -> float:
    """The share of the time in which one worker of ours holds the GIL.

    A thread next to the worker sleeps 2 ms again and again, and so does one in this process, which shares the machine
    with it but not the GIL. Asleep a thread does not hold the GIL; to wake up it must. What share of the wakings is later
    than three quarters of those here is the share of the time in which the GIL was held."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        here = pool.submit(lateness, stop)
        there, began, ended = alone(lateness_beside_ours, options)
        stop.set()
        late_here = [late for at, late in here.result() if began <= at <= ended]
    limit = float(np.quantile(late_here, THREE_QUARTERS))
    later = float(np.mean(np.array(there) > limit))
    return max((later - (1 - THREE_QUARTERS)) / THREE_QUARTERS, 0.0)


def lateness_beside_ours(options: Options) -> tuple[list[float], float, float]:
    """How late the probe's wakings are while the stream runs, and from when to when."""
    iterator = our_data(options, 1, False).batches().create_tuple_iterator(num_epochs=2, output_numpy=True, do_copy=False)
    for _ in iterator:
        pass
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(lateness, stop)
        began = time.monotonic()
        for _ in iterator:
            pass
        ended = time.monotonic()
        stop.set()
        return [late for _, late in probe.result()], began, ended


def lateness(stop: threading.Event) -> list[tuple[float, float]]:
    """When a thread woke from each of its sleeps and by how many seconds too late."""
    found = []
    while not stop.is_set():
        began = time.monotonic()
        time.sleep(PROBE_S)
        now = time.monotonic()
        found.append((now, now - began - PROBE_S))
    return found


if __name__ == "__main__":
    cli.run(main, Options)
