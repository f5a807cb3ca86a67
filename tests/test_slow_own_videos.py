"""Someone's own videos, from class folders to predictions, by the README's commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, Run, make_video
from safetensors.numpy import save_file

from preprocess import catalog
from train import checkpoint
from train.models import build_model

pytestmark = pytest.mark.slow
CLASSES, RECORDINGS, TAKES = ("Wave", "Clap"), 5, 2
NARROW = {"depth": 10, "widen_factor": 0.125}
SMALL = ("--model.depth", 10, "--model.widen-factor", 0.125, "--clip.size", 24, "--clip.frames", 8, "--epochs", 2)


def test_class_folders_and_published_weights_become_a_network_that_predicts(tmp_path: Path, run: Run) -> None:
    for label, name in enumerate(CLASSES):
        for recording in range(RECORDINGS):
            for take in range(TAKES):
                seed = 10 * label + recording
                make_video(tmp_path / f"data/mine/video/{name}/film{seed}_{take}.avi", 20 + take, seed=seed)
    options = ("--dataset", "folder", "--root", "data/mine", "--out", "work/my_frames", "--split-by", "group")
    run("preprocess/extract_frames.py", *options)
    flags = {video.video_id: video.flags for video in catalog.load(tmp_path / "work/my_frames")[0].videos}
    assert all(flags[name] == flags[f"{name.rpartition('_')[0]}_0"] for name in flags)
    run("mindrecord/build.py", "--frames", "work/my_frames", "--out", "work/my_records")

    published = {p.name: p.asnumpy() for p in build_model("resnet3d", num_classes=1039, **NARROW).get_parameters()}
    save_file(published, tmp_path / "published.safetensors")
    said = run("train/convert.py", "published.safetensors", "--out", "published.ckpt").stdout
    assert "is of resnet3d: num_classes 1039, depth 10, widen_factor 0.125" in said

    recipe = ("--recipe", ROOT / "train/recipes/activitynet_r3d50.yaml", *SMALL, "--batch-size", 8)
    weights = ("--pretrained", "published.ckpt")
    said = run("train/train.py", *recipe, *weights, "--records", "work/my_records", "--out", "work/runs/my_own").stdout
    assert "the head is for 1039 classes, the network has 2" in said
    _, trained = checkpoint.load(tmp_path / "work/runs/my_own/last.ckpt")
    assert (trained["layer3.0.conv1.weight"].asnumpy() == published["layer3.0.conv1.weight"]).all()
    assert (trained["layer4.0.conv1.weight"].asnumpy() != published["layer4.0.conv1.weight"]).any()

    last = ("--checkpoint", "work/runs/my_own/last.ckpt")
    run("eval/evaluate.py", "--records", "work/my_records", *last)
    found = json.loads((tmp_path / "work/runs/my_own/report/results.json").read_text())
    assert found["videos"] == len(CLASSES) * TAKES  # a fifth of five recordings
    said = run("eval/predict.py", "data/mine/video/Wave/film0_0.avi", *last, "--top-k", 5).stdout
    assert all(name in said for name in CLASSES)
