"""What the tests of the fourth stage share: networks with random weights, as checkpoints, and records."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from conftest import run_here, without_workers

from train import checkpoint, devices
from train.checkpoint import CheckpointMetadata
from train.config import ClipConfig, ModelConfig
from train.models import build_model

CLIP = ClipConfig(
    frames=8,
    stride=1,
    size=24,
    crop_scale=(0.5, 1.0),
    crop_ratio=(0.75, 1.3333),
    flip=0.5,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)


SMALL = ModelConfig(name="resnet3d", depth=10, widen_factor=0.125)


def save_random(
    path: Path,
    class_names: Sequence[str],
    clip: ClipConfig = CLIP,
    model: ModelConfig = SMALL,
    split: str = "1",
    seed: int = 0,
) -> Path:
    """A checkpoint of a network that was not trained; its logits are spread, so that classes differ in score."""
    devices.use("CPU", seed)
    network = build_model(model.name, num_classes=len(class_names), **model.options())
    network.fc.weight.set_data(network.fc.weight * 8)
    meta = CheckpointMetadata(model=model, clip=clip, dataset="ucf101", split=split, class_names=tuple(class_names), epoch=1)
    checkpoint.take_snapshot(network, meta).write(path)
    return path


def pack(root: Path, folder: Path, *options: object) -> Path:
    """The records of a data set in UCF101's layout, by the real commands."""
    for command, *arguments in (
        ("preprocess/extract_frames.py", "--root", root, "--out", folder / "frames", *options),
        ("mindrecord/build.py", "--frames", folder / "frames", "--out", folder / "records"),
    ):
        with without_workers():
            done = run_here(command, [*map(str, arguments)], folder)
        assert done.returncode == 0, done.stderr
    return folder / "records"


def link_real_clips(mini: Path, root: Path, every: int) -> list[Path]:
    """A data set in UCF101's layout of each `every`-th clip of `mini`: the first trains, in each split; returns the others,
    which test."""
    first, *clips = sorted(mini.glob("video/*/*.avi"))[::every]
    (root / "split").mkdir(parents=True)
    shutil.copy(mini / "split/classInd.txt", root / "split")
    for number in (1, 2, 3):
        (root / f"split/trainlist0{number}.txt").write_text(f"{first.parent.name}/{first.name} 1\n")
        (root / f"split/testlist0{number}.txt").write_text("".join(f"{clip.parent.name}/{clip.name}\n" for clip in clips))
    for clip in (first, *clips):
        (root / "video" / clip.parent.name).mkdir(parents=True, exist_ok=True)
        (root / "video" / clip.parent.name / clip.name).symlink_to(clip)
    return clips
