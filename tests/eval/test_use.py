"""The commands that use a network: predict, explain, features, export, on real clips where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import mindspore as ms
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from conftest import SHARED, Run, listed_for_testing, make_video
from eval_data import CLIP, save_random

from eval import explain, export, features, predict, video_drawing, video_windows
from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.frame_settings import FrameSettings
from train import checkpoint, devices, evaluation_windows
from train.config import ModelConfig
from train.models import build_model
from train.scoring import Scorer, score_videos

CLASSES = ("Alpha", "Beta")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with last.ckpt, a network of 16 frames for two classes, and clips/: a real clip and one of 5 frames."""
    folder = tmp_path_factory.mktemp("use")
    save_random(folder / "last.ckpt", CLASSES, replace(CLIP, frames=16))
    meta, network = checkpoint.restore(folder / "last.ckpt")
    network.fc.weight.set_data(network.fc.weight.abs() * ms.Tensor([[-1.0], [1.0]]))  # all that is seen speaks for Beta
    checkpoint.take_snapshot(network, meta).write(folder / "last.ckpt")
    (folder / "clips").mkdir()
    real = sorted(SHARED.glob("data/ucf101-mini/video/YoYo/*.avi"), key=lambda path: path.stat().st_size)
    if real:
        (folder / "clips/real.avi").symlink_to(real[0])
    else:
        make_video(folder / "clips/real.avi", 90, (320, 240))
    make_video(folder / "clips/short.mp4", 5, (64, 49))
    return folder


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.avi"
    path.write_bytes(b"RIFF" + bytes(100))
    return path


@pytest.fixture
def call(folder: Path) -> Callable[..., int]:
    """Run a command's main in this process on last.ckpt; `call(predict, clip, "--top-k", 1)`."""

    def call_main(command: Any, *arguments: object) -> int:
        devices.use("CPU", 0)
        given = [*map(str, arguments), "--checkpoint", str(folder / "last.ckpt")]
        code: int = command.main(cli.parse(command.Options, given))
        return code

    return call_main


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path), metadata_errors="ignore") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_an_unreadable_video_is_reported_and_the_others_predicted(folder: Path, bad: Path, tmp_path: Path, run: Run) -> None:
    options = ("--checkpoint", folder / "last.ckpt", "--json", tmp_path / "p.json", "--top-k", 1)
    done = run("eval/predict.py", folder / "clips", bad, *options, code=1)
    assert f"failed: {bad}: cannot be opened" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["real", "short"]
    found = json.loads((tmp_path / "p.json").read_text())
    assert list(found["results"]) == ["real", "short"]
    assert list(found["failed"]) == ["bad"]
    assert all(best[0]["label"] in CLASSES for best in found["results"].values())


def test_a_stored_video_s_records_and_its_file_get_the_same_scores(
    ucf: Path, records: Path, call: Callable[..., int], folder: Path, tmp_path: Path
) -> None:
    path = ucf / "video/Alpha/v_Alpha_g01_c01.avi"
    call(predict, path, "--json", tmp_path / "p.json")
    meta, network = checkpoint.restore(folder / "last.ckpt")
    videos = evaluation_windows.whole_videos(listed_for_testing(records, "1"), meta.clip)
    scores = {video.video_id: video.score_K for video in score_videos(Scorer(network, meta.clip), videos, 4)}
    (found,) = json.loads((tmp_path / "p.json").read_text())["results"].values()
    assert {one["label"]: one["score"] for one in found} == pytest.approx(dict(zip(CLASSES, scores[path.stem], strict=True)))


def test_the_overlay_is_the_video_with_the_running_prediction(
    call: Callable[..., int], folder: Path, tmp_path: Path
) -> None:
    assert call(predict, folder / "clips/real.avi", "--overlay", tmp_path / "o.mp4") == 0
    before, after = decoded(folder / "clips/real.avi"), decoded(tmp_path / "o.mp4")
    assert len(after) == len(before)
    change = np.abs(np.stack(after).astype(int) - np.stack(before)).mean(axis=(0, 2, 3))
    assert change[:40].mean() > 3 * change[120:].mean()  # the text's ground is at the top, the rest is as it was
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]


def test_a_camera_s_frames_are_read_in_rgb_until_it_stops(tmp_path: Path) -> None:
    frames = make_video(tmp_path / "camera.avi", 6)
    camera = cv2.VideoCapture(str(tmp_path / "camera.avi"))
    found = [video_drawing.pixels(frame) for frame in predict.captured(camera, FrameSettings())]
    assert len(found) == 6
    assert np.abs(np.stack(found).astype(int) - frames).mean() < 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give videos or folders of videos, or --camera 0, not both"),
        (("nowhere.avi",), "nowhere.avi does not exist"),
        (("--camera", "63"), "there is no /dev/video63"),
        (("{bad}",), "none of the 1 videos could be read"),
        (("{clips}", "--overlay", "{out}/o.mp4"), "--overlay takes one video, here 2"),
        (("{clips}", "--top-k", "0"), "--top-k 0 is not 1 or more"),
        (("{out}",), "has no video: they end in .avi"),
        (("{clips}", "--json", "{out}"), "--json ends in .json, in a folder that exists"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    arguments: tuple[str, ...], says: str, call: Callable[..., int], folder: Path, tmp_path: Path, bad: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"bad": bad, "clips": folder / "clips", "out": tmp_path / "empty"}
    with pytest.raises(InputError) as refused:
        call(predict, *(argument.format(**places) for argument in arguments))
    assert says in str(refused.value)


def test_a_checkpoint_without_class_names_is_refused(folder: Path, tmp_path: Path, call: Callable[..., int]) -> None:
    _, network = checkpoint.restore(folder / "last.ckpt")
    ms.save_checkpoint(network, str(tmp_path / "bare.ckpt"), crc_check=True)
    with pytest.raises(InputError, match=r"bare.ckpt does not say which network and classes it has"):
        predict.main(predict.Options(clips=(folder / "clips",), checkpoint=tmp_path / "bare.ckpt"))


def test_the_explanation_is_the_video_with_heat_on_the_centre_square(
    call: Callable[..., int], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(explain, folder / "clips/real.avi", "--out", tmp_path / "cam.mp4", "--class-name", "Beta") == 0
    assert "Beta" in capsys.readouterr().out
    before, after = decoded(folder / "clips/real.avi"), decoded(tmp_path / "cam.mp4")
    assert len(after) == len(before)
    change = np.abs(np.stack(after).astype(int) - np.stack(before))[:, 60:].mean(axis=(0, 1, 3))
    assert change[40:280].mean() > 2 * max(change[:36].mean(), change[284:].mean())
    for arguments, says in (
        (("--layer", "layer9"), "--layer layer9 is not in this network; did you mean layer"),
        (("--class-name", "Betta"), "has no class 'Betta'; did you mean Beta?"),
        (("--out", "cam.avi"), "--out ends in .mp4"),
    ):
        with pytest.raises(InputError) as refused:
            call(explain, folder / "clips/real.avi", *arguments)
        assert says in str(refused.value)


def test_a_network_for_images_is_not_explained(folder: Path, tmp_path: Path) -> None:
    devices.use("CPU", 0)
    meta, _ = checkpoint.restore(folder / "last.ckpt")
    model = ModelConfig(name="glore_resnet", width=0.0625)
    network = build_model(model.name, num_classes=len(CLASSES), **model.options())
    checkpoint.take_snapshot(network, replace(meta, model=model)).write(tmp_path / "images.ckpt")
    with pytest.raises(InputError, match=r"images\.ckpt is of glore_resnet, which is for images"):
        explain.main(
            explain.Options(clip=folder / "clips/real.avi", checkpoint=tmp_path / "images.ckpt", out=tmp_path / "cam.mp4")
        )


def test_the_heat_before_a_mean_and_a_dense_layer_is_the_weighted_sum_of_the_activations(folder: Path) -> None:
    """Grad-CAM equals CAM there (arXiv:1610.02391, section 3.1), which needs no gradient."""
    devices.use("CPU", 0)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    meta, network = checkpoint.restore(folder / "last.ckpt")
    path = folder / "clips/short.mp4"
    label, _, heat_WTHW = explain.grad_cam(network, video_windows.jpegs_of(path, FrameSettings()), meta.clip, "layer4", None)
    windows = list(video_windows.windows_of(video_windows.jpegs_of(path, FrameSettings()), meta.clip))
    expected = []
    for window in windows:
        normal = (window / 255 - np.array(meta.clip.mean)) / np.array(meta.clip.std)
        network(ms.Tensor(normal.transpose(3, 0, 1, 2)[None], ms.float32))
        weights_C = network.fc.weight.asnumpy()[label]
        map_THW = np.maximum(np.einsum("c,cthw->thw", weights_C, network.layer4.output()), 0)
        expected.append(explain.enlarged(map_THW.astype(np.float32), meta.clip))
    assert heat_WTHW.shape == (len(windows), 16, 24, 24)
    assert heat_WTHW.max() == 1
    assert np.abs(heat_WTHW - np.stack(expected) / np.max(expected)).max() < 1e-3


@pytest.mark.parametrize("layer", ["layer2", "layer4"])
def test_features_are_a_layer_s_means_in_npz_and_parquet_alike(
    layer: str, call: Callable[..., int], folder: Path, records: Path, tmp_path: Path
) -> None:
    for name in ("f.npz", "f.parquet"):
        call(features, "--records", records, "--out", tmp_path / name, "--layer", layer, "--batch-size", 3)
    found = np.load(tmp_path / "f.npz")
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert found["features"].shape == (8, {"layer2": 16, "layer4": 64}[layer])
    assert np.array_equal(np.stack(table["features"]), found["features"])
    assert sorted(found["side"].tolist()) == ["test"] * 2 + ["train"] * 6
    assert [name.split("_")[1] for name in table["video_id"]] == table["class_name"].tolist()
    if layer == "layer4":  # what the classifier sees of a video of one window or two
        meta, network = checkpoint.restore(folder / "last.ckpt")
        videos = list(evaluation_windows.whole_videos(listed_for_testing(records, "1"), meta.clip))
        network.fc = ms.nn.Identity()
        network.set_train(False)
        for video, windows in videos:
            normal = (windows / 255 - np.array(meta.clip.mean)) / np.array(meta.clip.std)
            expected = network(ms.Tensor(normal.transpose(0, 4, 1, 2, 3), ms.float32)).asnumpy().mean(axis=0)
            ours = found["features"][found["video_id"].tolist().index(video.video_id)]
            assert np.abs(ours - expected).max() < 1e-4


@pytest.mark.parametrize("kind", ["mindir", "onnx"])
def test_an_exported_model_gives_the_network_s_logits_and_says_what_it_takes(
    kind: str, call: Callable[..., int], folder: Path, records: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"model.{kind}"
    assert call(export, "--format", kind, "--out", out, "--records", records, "--batch-size", 2) == 0
    said = json.loads((tmp_path / "model.json").read_text())
    assert said["class_names"] == list(CLASSES)
    assert said["input"]["shape"] == [2, 3, 16, 24, 24]
    assert said["largest_difference"] <= 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", out.name]
    if kind == "onnx":
        _, network = checkpoint.restore(folder / "last.ckpt")
        network.set_train(False)
        clip = np.random.default_rng(0).normal(size=said["input"]["shape"]).astype(np.float32)
        session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {session.get_inputs()[0].name: clip})
        assert np.abs(logits - network(ms.Tensor(clip)).asnumpy()).max() < 1e-4


def test_a_model_that_says_something_else_is_not_written(
    call: Callable[..., int], records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_exported = export.run_exported
    monkeypatch.setattr(export, "run_exported", lambda path, batches: [1.001 * x for x in run_exported(path, batches)])
    with pytest.raises(InputError, match=r"logits differ from the network's by 1.0e-03 of the greatest, more than 0.0001"):
        call(export, "--format", "mindir", "--out", tmp_path / "model.mindir", "--records", records)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "arguments", "package"),
    [(export, ("--format", "onnx", "--out", "m.onnx"), "onnxruntime"), (features, ("--out", "f.parquet"), "pyarrow")],
)
def test_an_absent_extra_gets_one_line(
    command: Any, arguments: tuple[str, ...], package: str, call: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"needs {package}: pip install {package}"):
        call(command, *arguments)


def test_a_window_longer_than_the_video_is_looped(tmp_path: Path) -> None:
    make_video(tmp_path / "five.avi", 5)
    (window,) = video_windows.windows_of(
        video_windows.jpegs_of(tmp_path / "five.avi", FrameSettings()), replace(CLIP, frames=16)
    )
    assert np.array_equal(window[5:10], window[:5])
    assert np.array_equal(window[15], window[0])
    assert not np.array_equal(window[1], window[0])


def test_real_window_lengths_are_those_of_the_stream(records: Path, ucf: Path) -> None:
    clip = replace(CLIP, frames=4, stride=2)
    videos = evaluation_windows.whole_videos(listed_for_testing(records, "1"), clip)
    for video, windows in videos:
        path = ucf / f"video/{video.name}.avi"
        assert np.array_equal(
            np.stack(list(video_windows.windows_of(video_windows.jpegs_of(path, FrameSettings()), clip))), windows
        )
