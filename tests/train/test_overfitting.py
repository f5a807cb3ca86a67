"""The pipeline, the network and the step together can learn at all: eight clips by heart."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, SHARED, Run, make_video

from mindrecord import manifest
from train import devices
from train.config import ScheduleConfig, load_recipe
from train.models import build_model
from train.models.normalize_input import NormalizeInput
from train.step import new_step
from train.training_data import TrainingData, training_videos

CLIPS = 8
STEPS = 50


@pytest.fixture
def eight(tmp_path: Path, run: Run) -> Path:
    """Records of eight videos of a class each: real clips where they are, else videos made here."""
    root = tmp_path / "eight"
    real = [sorted(folder.glob("*.avi"))[0] for folder in sorted((SHARED / "data/ucf101-mini/video").glob("*"))[:CLIPS]]
    for i in range(CLIPS):
        path = root / "video" / f"Class{i}" / "clip.avi"
        if real:
            path.parent.mkdir(parents=True)
            shutil.copy(real[i], path)
        else:
            make_video(path, seed=i)
    run(
        "preprocess/extract_frames.py",
        "--dataset",
        "folder",
        "--root",
        root,
        "--out",
        tmp_path / "frames",
        "--short-side",
        64,
    )
    run("mindrecord/build.py", "--frames", tmp_path / "frames", "--out", tmp_path / "records")
    return tmp_path / "records"


@pytest.mark.slow
def test_eight_clips_are_learnt_by_heart_in_fewer_than_sixty_steps(eight: Path) -> None:
    devices.use("CPU", seed=1)
    recipe = load_recipe(ROOT / "train/recipes/quick_cpu.yaml")
    clip = replace(recipe.clip, sampling="centre", crop="centre")
    recipe = replace(
        recipe,
        clip=clip,
        batch_size=CLIPS,
        epochs=STEPS,
        schedule=ScheduleConfig(curve="cosine", learning_rate=0.002, warmup_epochs=5),
    )
    videos = training_videos(eight, manifest.load(eight), "1", CLIPS)
    batches = TrainingData(videos=videos, clip=clip, batch_size=CLIPS, seed=recipe.seed).batches()
    assert batches.get_dataset_size() == 1
    network = build_model(recipe.model.name, num_classes=CLIPS, **recipe.model.options())
    step = new_step(network, recipe, 1)
    iterator = batches.create_tuple_iterator(num_epochs=STEPS)
    for _ in range(STEPS):
        for clip_NTHWC, label_N, weight_N in iterator:
            step(clip_NTHWC, label_N, weight_N)
    logits_NK = NormalizeInput(network, clip.mean, clip.std).set_train(False)(clip_NTHWC).asnumpy()
    assert sorted(label_N.asnumpy().tolist()) == list(range(CLIPS))
    assert (logits_NK.argmax(axis=1) == label_N.asnumpy()).all()
