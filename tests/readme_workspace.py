"""A folder in which the commands of the READMEs run as they stand: small data sets, and what each command starts from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from conftest import ROOT, make_ucf, make_video, run_here

from scripts import make_textures
from train import checkpoint

GROUPS = 18  # so that split 1 has more training videos than the quick recipe's batch
CLASSES = ("Alpha", "Beta")
MEASURED = {
    "ours_cpu_ms_per_clip": 4.0,
    "gil_held": 0.1,
    "bytes_read_per_clip": 100_000,
    "bytes_on_disk_per_clip": 2_000_000,
    "bytes_sent_per_clip": 602_112,
}
MEASURED_IMAGES = {
    "kind": "image",
    "ours_cpu_ms_per_image": 2.0,
    "ours_cpu_ms_per_image_autoaugment": 3.0,
    "bytes_read_per_image": 110_000,
    "bytes_sent_per_image": 150_528,
}


def make(folder: Path) -> None:
    """Fill the folder."""
    for name in ("preprocess", "mindrecord", "train", "eval", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    make_data(folder / "data")
    for dataset, data, name in (("ucf101", "UCF101", ""), ("folder", "mine", "my_")):
        do(
            folder,
            "preprocess/extract_frames.py",
            "--dataset",
            dataset,
            "--root",
            f"data/{data}",
            "--out",
            f"work/{name}frames",
        )
        do(folder, "mindrecord/build.py", "--frames", f"work/{name}frames", "--out", f"work/{name}records")
    make_textures.main(make_textures.Options(out=folder / "work/textures", train=8, val=2, width=48, height=48))
    shutil.copytree(folder / "work/textures", folder / "data/ImageNet")
    for name in ("imagenet", "textures_records"):
        do(folder, "mindrecord/build.py", "--dataset", "imagenet", "--root", "work/textures", "--out", f"work/{name}")
    shutil.copytree(folder / "work/records", folder / "work/quickstart/records")
    (folder / "work/bench_stream.json").write_text(json.dumps(MEASURED))
    (folder / "work/bench_images.json").write_text(json.dumps(MEASURED_IMAGES))
    make_clips(folder)
    make_checkpoints(folder)


def do(folder: Path, command: str, *arguments: str) -> None:
    """Run a command that prepares another's."""
    done = run_here(command, [*arguments], folder)
    assert done.returncode == 0, done.stderr


def make_data(data: Path) -> None:
    """Small data sets under the names that the READMEs give them."""
    make_ucf(data / "UCF101", CLASSES, GROUPS)
    shutil.copytree(data / "UCF101/video", data / "mine/video")
    kinetics = data / "Kinetics700"
    (kinetics / "split").mkdir(parents=True)
    for part, youtube_id in (("train", "abcdefghijk"), ("val", "lmnopqrstuv")):
        header = "label,youtube_id,time_start,time_end,split\n"
        (kinetics / f"split/{part}.csv").write_text(f"{header}wave,{youtube_id},0,10,{part}\nwave,gone_{part},0,10,{part}\n")
        make_video(kinetics / f"video/wave/{youtube_id}_000000_000010.avi")
    activitynet = data / "ActivityNet"
    (activitynet / "split").mkdir(parents=True)
    database = {
        f"v_{i}": {"duration": 2.0, "subset": subset, "annotations": [{"label": "wave", "segment": [0, 0.5]}]}
        for i, subset in enumerate(("training", "validation"))
    }
    (activitynet / "split/activity_net.v1-3.min.json").write_text(json.dumps({"database": database}))
    for name in database:
        make_video(activitynet / f"video/{name}.avi", frames=50)


def make_clips(folder: Path) -> None:
    """Videos and a picture to give to a network."""
    make_video(folder / "clip.avi", frames=30)
    make_video(folder / "folder/another.avi", frames=30, seed=1)
    shutil.copytree(folder / "data/UCF101/video/Alpha", folder / "FOLDER")
    shutil.copytree(folder / "data/UCF101", folder / "PATH")
    cv2.imwrite(str(folder / "photo.jpg"), np.full((60, 80, 3), 120, np.uint8))


def make_checkpoints(folder: Path) -> None:
    """A run of one epoch, which can be resumed, and its network as if it had been trained on each of the splits."""
    recipe = ("--recipe", "train/recipes/quick_cpu.yaml", "--records", "work/records", "--out", "work/runs/mine")
    do(folder, "train/train.py", *recipe, *SMALL, *ONE_EPOCH, "--model.widen-factor", "0.125")
    shutil.copytree(folder / "work/runs/mine", folder / "RUN")
    shutil.copytree(folder / "work/runs/mine", folder / "work/runs/many")
    meta, network = checkpoint.restore(folder / "RUN/last.ckpt")
    for split, name in enumerate("ABC", start=1):
        (folder / name).mkdir()
        checkpoint.take_snapshot(network, replace(meta, split=str(split))).write(folder / name / "last.ckpt")
    shutil.copytree(folder / "A", folder / "work/runs/my_own")


SMALL = ("--batch-size", "2", "--clip.frames", "4", "--clip.size", "24", "--clip.test-short-side", "0")
"""What makes training by a recipe on clips a matter of seconds."""
ONE_EPOCH = ("--epochs", "1", "--schedule.warmup-epochs", "0")
