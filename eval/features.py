"""The features that a network makes of videos: a layer's output, averaged over time, place and a video's windows.

python eval/features.py --records work/records --checkpoint work/runs/mine/last.ckpt --layer layer4 --out features.npz
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import pandas as pd
from mindspore import nn
from numpy.typing import NDArray

from eval import video_windows
from eval.layers import check_layer, cut_after
from mindrecord import manifest
from mindrecord.shard_reader import Video, videos_of_split
from preprocess.catalog import TEST, TRAIN
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say
from train import checkpoint, devices, evaluation_windows
from train.config import ClipConfig
from train.sampling import Views
from train.scoring import for_inference, score_windows

SIDES = {"train": (TRAIN,), "test": (TEST,), "all": (TRAIN, TEST)}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a feature vector of each video of a records folder."""

    checkpoint: Path
    """The network; its classes need not be the records'."""
    records: Path = Path("work/records")
    """The records folder that mindrecord/build.py wrote."""
    out: Path = Path("features.npz")
    """The file to write: .npz, arrays features, label, class_name, video_id and side, or .parquet, a row a video."""
    layer: str = "layer4"
    """Whose output."""
    split: str = "1"
    """By which split the videos are train or test."""
    side: str = "all"
    """Which videos: train, test or all of both."""
    batch_size: int = 8
    """Windows a batch."""


def main(options: Options) -> int:
    check(options)
    records, out = options.records.resolve(), options.out.resolve()
    packed = manifest.load(records)
    devices.use(devices.target(), seed=0)
    meta, network = checkpoint.restore(options.checkpoint)
    video_windows.print_other_frames(meta, options.checkpoint, packed, options.records)
    check_layer(network, options.layer)
    cut_after(network, options.layer)
    flags = SIDES[options.side]
    videos = [(flag, video) for flag in flags for video in videos_of_split(records, packed, options.split, flag)]
    if not videos:
        raise InputError(f"{options.records} has no {options.side} video of split {options.split}")
    with devices.work_aside():
        features_VC = features(network, [video for _, video in videos], meta.clip, options.batch_size)
    sides = ["train" if flag == TRAIN else "test" for flag, _ in videos]
    columns = {
        "label": np.array([video.label for _, video in videos], np.int32),
        "class_name": np.array([video.class_name for _, video in videos]),
        "video_id": np.array([video.video_id for _, video in videos]),
        "side": np.array(sides),
    }
    write(out, features_VC, columns)
    say(f"{features_VC.shape[1]} features of {len(videos)} videos, {options.layer}: {options.out}")
    return 0


def check(options: Options) -> None:
    """Check the options.

    Raises:
        InputError: one is out of its range, or a package is absent.
    """
    if options.side not in SIDES:
        raise InputError(f"--side {options.side} is not known: {', '.join(SIDES)}")
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size} is not 1 or more")
    files.check_file(options.out, "--out", ".npz", ".parquet")
    if options.out.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InputError("--out .parquet needs pyarrow: pip install pyarrow, see requirements-extra.in, or choose .npz")


def features(network: nn.Cell, videos: list[Video], clip: ClipConfig, batch_size: int) -> NDArray[np.float32]:
    """features_VC: the mean over each video's windows of what the network, cut after a layer, gives."""
    views = Views(crops=clip.test_crops)
    counts = [views.count(video.frames, clip.frames, clip.stride) for video in videos]
    vectors = for_inference(network, clip)
    windows_of = progress(evaluation_windows.whole_videos(videos, clip), "videos", len(videos))
    windows = (window for _, windows_WTHWC in windows_of for window in windows_WTHWC)
    feature_WC = np.stack(list(score_windows(vectors, windows, batch_size)))
    starts = np.cumsum([0, *counts[:-1]])
    means_VC = np.add.reduceat(feature_WC.astype(np.float64), starts) / np.array(counts)[:, None]
    return np.asarray(means_VC, np.float32)


def write(out: Path, features_VC: NDArray[np.float32], columns: dict[str, NDArray[np.generic]]) -> None:
    """Write features and columns; the file appears by rename."""
    with files.by_rename(out) as partial:
        if out.suffix.lower() == ".npz":
            with partial.open("wb") as stream_out:
                np.savez_compressed(stream_out, features=features_VC, **columns)
        else:
            pd.DataFrame({**columns, "features": list(features_VC)}).to_parquet(partial, engine="pyarrow", index=False)


if __name__ == "__main__":
    cli.run(main, Options)
