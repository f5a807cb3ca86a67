"""Images from a folder to a report: ImageNet's layout, with JPEGs of every kind."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from conftest import ROOT, Run
from PIL import Image

from mindrecord import build_records, manifest
from mindrecord.shard_reader import read_frames, videos_of_split
from mindrecord.sources.images import ImagesOptions
from preprocess.catalog import TEST
from preprocess.common.errors import InputError
from scripts import make_textures
from train import checkpoint, devices, evaluation_windows
from train.checkpoint import CheckpointMetadata, TrainState
from train.config import load_recipe
from train.step import new_step
from train.trainer import new_network
from train.training_data import TrainingData, training_videos

RECIPES = ROOT / "train/recipes"
QUICK = load_recipe(RECIPES / "quick_images.yaml")
TRAIN, VAL = 8, 3
SMALL = ["--recipe", RECIPES / "quick_images.yaml", "--model.width", 0.125, "--clip.size", 32, "--clip.test-short-side", 36]


def pack(root: Path, out: Path) -> None:
    """Pack a folder of images, of which one may be damaged."""
    build_records.main(ImagesOptions(root=root, out=out, max_failures="1", workers=1))


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Records of ten classes of textures, of which one file is cut short, and what packing them said."""
    root = tmp_path_factory.mktemp("textures")
    make_textures.main(make_textures.Options(out=root / "images", train=TRAIN, val=VAL, width=64, height=48))
    cut = root / "images/train/dots/train_00002.JPEG"  # a progressive one
    cut.write_bytes(cut.read_bytes()[:-200])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        pack(root / "images", root / "records")
    return root / "records", said.getvalue()


def epoch(
    records: Path, count: int = 1, batch_size: int = 20, first: tuple[int, int] = (0, 0), **options: Any
) -> list[dict[str, np.ndarray]]:
    """The batches of a number of epochs, from the `first` epoch and step on."""
    clip = replace(QUICK.clip, size=32, test_short_side=36, autoaugment=options.pop("autoaugment", "none"))
    videos = training_videos(records, manifest.load(records), "1", batch_size)
    data = TrainingData(videos=videos, clip=clip, batch_size=batch_size, seed=3, **options)
    epochs = range(first[0], first[0] + count)
    return list(data.batches(epochs, first[1]).create_dict_iterator(num_epochs=1, output_numpy=True))


def digest(batches: list[dict[str, np.ndarray]]) -> str:
    return hashlib.sha256(b"".join(batch["clip"].tobytes() for batch in batches)).hexdigest()


def test_packing_names_what_does_not_decode_and_encodes_again_what_only_pil_reads(textures: tuple[Path, str]) -> None:
    records, said = textures
    assert "failed: train/dots/train_00002.JPEG: does not decode" in said
    assert "10 files are not flawless RGB or grey JPEGs and are encoded again, at quality 95" in said  # CMYK
    packed = manifest.load(records)
    assert [video.video_id for video in packed.absent] == ["train_00002"]
    assert sum(shard.videos for shard in packed.shards) == 10 * (TRAIN + VAL) - 1


@pytest.mark.parametrize("autoaugment", ["none", "imagenet", "as_published"])
def test_every_kind_of_jpeg_trains(textures: tuple[Path, str], autoaugment: str) -> None:
    batches = epoch(textures[0], autoaugment=autoaugment)
    assert len(batches) == 4
    for batch in batches:
        assert batch["clip"].shape == (20, 1, 32, 32, 3)
        assert (batch["clip"].dtype, batch["label"].dtype, batch["weight"].dtype) == (np.uint8, np.int32, np.float32)
        assert batch["clip"].std(axis=(1, 2, 3, 4)).max() > 10
    counted = np.concatenate([batch["label"][batch["weight"] == 1] for batch in batches])
    assert np.bincount(counted).tolist() == [TRAIN] * 5 + [TRAIN - 1] + [TRAIN] * 4  # one of the dots is cut
    assert sum(batch["weight"].sum() for batch in batches) == 10 * TRAIN - 1


def test_grey_jpegs_stay_grey_and_an_image_of_one_row_fills_the_square(tmp_path: Path) -> None:
    for i, (mode, height) in enumerate([("L", 40), ("L", 1)]):
        path = tmp_path / f"i/train/a/{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((height, 50), 90 + i * 60, np.uint8)).convert(mode).save(path)
    pack(tmp_path / "i", tmp_path / "r")
    ((batch),) = epoch(tmp_path / "r", batch_size=2)
    levels = sorted(float(np.median(image)) for image in batch["clip"])
    assert levels == pytest.approx([90, 150], abs=2)
    assert np.ptp(batch["clip"].astype(int), axis=(2, 3)).max() <= 2


@pytest.mark.parametrize("autoaugment", ["none", "imagenet", "as_published"])
def test_an_image_depends_on_the_seed_and_its_place_alone(textures: tuple[Path, str], autoaugment: str) -> None:
    def seen(**options: Any) -> list[bytes]:
        batches = epoch(textures[0], autoaugment=autoaugment, **options)
        return [batch["clip"].tobytes() + batch["label"].tobytes() + batch["weight"].tobytes() for batch in batches]

    whole = seen(count=2, workers=1)
    assert len(set(whole)) == 8
    assert seen(count=2, workers=2) == whole
    assert seen(first=(1, 0), workers=2) == whole[4:]
    assert seen(first=(1, 2)) == whole[6:]
    if autoaugment == "imagenet":
        assert seen(processes=True) == whole[:4]


def test_ranks_share_an_epoch(textures: tuple[Path, str]) -> None:
    parts = [epoch(textures[0], rank=rank, ranks=3) for rank in range(3)]
    assert sum(float(batch["weight"].sum()) for part in parts for batch in part) == 10 * TRAIN - 1
    assert len({digest(part) for part in parts}) == 3


def test_fewer_images_than_a_batch_are_refused(textures: tuple[Path, str]) -> None:
    with pytest.raises(InputError, match="has 79 training videos, a batch is 80"):
        epoch(textures[0], batch_size=80)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frames": 16}, "clip.frames is 16, expected 1 for glore_resnet"),
        ({"crop": "centre"}, "clip.crop is 'centre', expected resized for glore_resnet"),
        ({"autoaugment": "cifar"}, "clip.autoaugment is 'cifar', expected none or imagenet or as_published"),
        ({"test_short_side": 63}, "clip.test_short_side is 63, expected 0, or at least clip.size"),
    ],
)
def test_a_recipe_that_images_cannot_follow_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(QUICK, clip=replace(QUICK.clip, **change))


def test_autoaugment_is_refused_for_clips() -> None:
    quick = load_recipe(RECIPES / "quick_cpu.yaml")
    with pytest.raises(InputError, match=r"clip.autoaugment is 'imagenet', expected none for resnet3d"):
        replace(quick, clip=replace(quick.clip, autoaugment="imagenet"))


def evaluated(run: Run, records: Path, out: Path) -> dict[str, Any]:
    """Evaluate a run; each test image has to be there once."""
    run("eval/evaluate.py", "--records", records, "--checkpoint", out / "last.ckpt")
    found: dict[str, Any] = json.loads((out / "report/results.json").read_text())
    with (out / "report/per_video.csv").open() as stream_:
        rows = list(csv.DictReader(stream_))
    assert len({(row["class"], row["video_id"]) for row in rows}) == len(rows) == found["videos"] == found["clips"]
    return found


def test_evaluation_takes_every_test_image_once_scaled_and_cut(textures: tuple[Path, str]) -> None:
    clip = replace(QUICK.clip, size=32, test_short_side=48)  # the images are 64 x 48: two thirds of the short side
    found = list(evaluation_windows.whole_videos(videos_of_split(textures[0], manifest.load(textures[0]), "1", TEST), clip))
    assert len({video.name for video, _ in found}) == len(found) == 10 * VAL
    assert np.bincount([video.label for video, _ in found]).tolist() == [VAL] * 10
    assert {windows_WTHWC.shape for *_, windows_WTHWC in found} == {(1, 1, 32, 32, 3)}
    video = videos_of_split(textures[0], manifest.load(textures[0]), "1", TEST)[0]
    whole_HWC = simplejpeg.decode_jpeg(read_frames(video, np.zeros(1, np.int64))[0], "RGB")
    assert (found[0][-1][0, 0] == whole_HWC[8:40, 16:48]).all()


def test_a_checkpoint_of_depth_50_has_the_published_size(tmp_path: Path) -> None:
    """Published: 233.46 M, with momentum. One rate a step, of 120 epochs of 1251, is in it too."""
    devices.use("CPU", seed=1)
    recipe = load_recipe(RECIPES / "imagenet_glore50.yaml")
    names = tuple(map(str, range(1000)))
    network = new_network(recipe, len(names))
    step = new_step(network, recipe, 1251)
    meta = CheckpointMetadata(
        model=recipe.model, clip=recipe.clip, dataset="imagenet", split="1", class_names=names, epoch=0
    )
    checkpoint.take_snapshot(network, meta, TrainState(recipe=recipe, records_sha256="", ranks=1), step=step).write(
        tmp_path / "last.ckpt"
    )
    assert (tmp_path / "last.ckpt").stat().st_size / 2**20 == pytest.approx(233.46, rel=0.01)


@pytest.mark.slow
def test_the_quick_recipe_learns_the_textures_in_four_minutes(tmp_path: Path, run: Run) -> None:
    run("scripts/make_textures.py", "--out", tmp_path / "images")
    run("mindrecord/build.py", "--dataset", "imagenet", "--root", tmp_path / "images", "--out", tmp_path / "records")
    records = ("--records", tmp_path / "records")
    began = time.monotonic()
    run("train/train.py", "--recipe", RECIPES / "quick_images.yaml", *records, "--out", tmp_path / "run")
    assert time.monotonic() - began < 240
    found = evaluated(run, tmp_path / "records", tmp_path / "run")
    assert found["videos"] == 200
    assert found["top1"] > 0.8


@pytest.mark.slow
def test_a_run_on_images_goes_on_after_it_was_stopped(textures: tuple[Path, str], tmp_path: Path, run: Run) -> None:
    command = [sys.executable, str(ROOT / "train/train.py"), *map(str, SMALL), "--records", str(textures[0])]
    command += ["--out", str(tmp_path / "run"), "--epochs", "60"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "run/metrics.jsonl").exists() or not (tmp_path / "run/metrics.jsonl").read_text().count("\n"):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    run("train/train.py", "--resume", tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 61))
    assert lines[-1]["loss"] < lines[0]["loss"]
