from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import mindspore as ms
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from conftest import ROOT, Run, make_ucf
from eval_data import CLIP, link_real_clips, pack, save_random

from eval import evaluate
from mindrecord import manifest
from preprocess.common import cli
from preprocess.common.errors import InputError
from scripts import readme_tables
from train import checkpoint
from train.cluster import free_port
from train.config import ModelConfig

ROUNDED = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT  # else 1 grey level too dark
TIE = 0.001  # two classes of so nearly the same score are one tie: a frame rounded otherwise turns it
CLASSES = ("Aa", "Bb", "Cc", "Dd", "Ee", "Ff", "Gg")


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records of seven videos, all of which test in split 1, others, and last.ckpt."""
    folder = tmp_path_factory.mktemp("seven")
    make_ucf(folder / "data", CLASSES, groups=3)
    pack(folder / "data", folder)
    save_random(folder / "last.ckpt", CLASSES)
    return folder


def options_for(folder: Path, out: Path, *more: object) -> list[str]:
    given = ("--records", folder / "records", "--checkpoint", folder / "last.ckpt", "--out", out, "--batch-size", 4)
    return [*map(str, given), *map(str, more)]


def run_here(*arguments: object) -> int:
    return evaluate.main(cli.parse(evaluate.Options, [str(argument) for argument in arguments]))


def scores_of(report: Path) -> dict[str, dict[str, float]]:
    """Every class's score of every video, from the field's JSON."""
    found = json.loads((report / "predictions.json").read_text())["results"]
    return {video: {one["label"]: one["score"] for one in best} for video, best in found.items()}


def test_one_two_and_three_ranks_give_seven_videos_the_same_scores_to_the_last_bit(seven: Path, tmp_path: Path) -> None:
    run_here(*options_for(seven, tmp_path / "one"))
    command = ROOT / "eval/evaluate.py"
    launcher = [str(Path(sys.executable).parent / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    launcher += ["--master_addr=127.0.0.1", f"--master_port={free_port()}", f"--log_dir={tmp_path / 'logs'}"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    two = subprocess.Popen(
        [*launcher, str(command), *options_for(seven, tmp_path / "two")],
        env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert two.wait() == 0
    three = [
        subprocess.Popen(
            [sys.executable, str(command), *options_for(seven, tmp_path / "three")],
            env={**os.environ, "RANK_ID": str(rank), "RANK_SIZE": "3"},
            stdout=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        for rank in range(3)
    ]
    assert [process.wait() for process in three] == [0, 0, 0]
    expected = scores_of(tmp_path / "one")
    assert len(expected) == 7
    assert len({str(best) for best in expected.values()}) == 7
    for name, ranks in (("two", 2), ("three", 3)):
        assert scores_of(tmp_path / name) == expected
        results = [json.loads((tmp_path / folder / "results.json").read_text()) for folder in ("one", name)]
        assert results[1]["ranks"] == ranks
        for key in ("top1", "top5", "clip_top1", "videos", "clips", "confusion"):
            assert results[0][key] == results[1][key]
        assert (tmp_path / name / "per_video.csv").read_text() == (tmp_path / "one/per_video.csv").read_text()
    assert not list(tmp_path.glob(".*"))  # what the ranks exchanged is gone


@pytest.mark.parametrize(
    ("options", "clips", "says"),
    [
        ((), 3, "windows of 8 frames, without overlap, the last looped; centre crop at 24"),
        (("--stride", 2), 2, "windows of 8 frames, 2 apart, without overlap"),
        (("--views", "5x3"), 15, "5 windows of 8 frames, spread over the video; three crops along the longer side at 24"),
        (("--views", "1x1", "--flip"), 2, "centre crop at 24, each mirrored too"),
    ],
)
def test_the_report_counts_the_views_and_says_which(
    options: tuple[object, ...], clips: int, says: str, seven: Path, tmp_path: Path
) -> None:
    run_here(*options_for(seven, tmp_path / "report", *options))
    results = json.loads((tmp_path / "report/results.json").read_text())
    assert says in results["protocol"]
    assert (results["clips"], results["videos"]) == (7 * clips, 7)


def test_splits_give_mean_and_standard_deviation_of_their_reports(
    seven: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = seven / "records"
    paths = [save_random(tmp_path / f"{split}.ckpt", CLASSES, split=split, seed=int(split)) for split in "123"]
    run_here("--records", records, "--splits", "1,2,3", "--checkpoints", *paths, "--out", tmp_path / "report")
    found = json.loads((tmp_path / "report/splits.json").read_text())
    each = [json.loads((tmp_path / f"report/split{split}/results.json").read_text())["clip_top1"] for split in "123"]
    assert list(found["clip_top1"]["splits"].values()) == each
    assert found["clip_top1"]["mean"] == pytest.approx(sum(each) / 3)
    deviation = (sum((value - sum(each) / 3) ** 2 for value in each) / 2) ** 0.5
    assert found["clip_top1"]["standard_deviation"] == pytest.approx(deviation)
    assert found["videos"] == {"1": 7, "2": 7, "3": 7}
    assert f"clip_top1 {sum(each) / 3:.1%} +- {deviation:.1%} over 3 splits" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"1.ckpt was trained on split 1: it has seen test videos of split 2"):
        run_here("--records", records, "--splits", "2,1", "--checkpoints", *paths[:2], "--out", tmp_path / "other")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("Aa", "Bb", "Cc", "Dd", "Ee", "Ff", "Xx"), "only the checkpoint: 'Xx'; only the records: 'Gg'"),
        (CLASSES[:3], "3 and 7; only the records: 'Dd', 'Ee', 'Ff' and 1 more"),
        (("Bb", "Aa", *CLASSES[2:]), "label 0 is 'Bb' and 'Aa'"),
    ],
)
def test_records_of_other_classes_are_refused_and_the_names_shown(
    names: tuple[str, ...], says: str, seven: Path, tmp_path: Path
) -> None:
    path = save_random(tmp_path / "other.ckpt", names)
    with pytest.raises(InputError) as refused:
        run_here("--records", seven / "records", "--checkpoint", path, "--out", tmp_path / "report")
    assert says in str(refused.value)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--views", "10x2"), "--views 10x2 is not understood"),
        (("--stride", "0"), "--stride 0 is not 1 or more"),
        (("--splits", "1,2"), "--splits 1,2 takes one of --checkpoints for each split, in that order, here 0"),
        (("--checkpoints", "a"), "--splits (none) takes one of --checkpoints for each split, in that order, here 1"),
        (("--checkpoints", "a", "b"), "takes one of --checkpoints for each split, in that order, here 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: tuple[str, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        run_here(*options, "--out", tmp_path / "report")
    assert says in str(refused.value)


def test_the_eval_scripts_take_the_newest_run_or_what_they_are_given(seven: Path, tmp_path: Path) -> None:
    def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(ROOT / "scripts" / name), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    (tmp_path / "work/runs/old").mkdir(parents=True)
    (tmp_path / "work/runs/new").mkdir()
    (tmp_path / "work/records").symlink_to(seven / "records")
    (tmp_path / "work/runs/old/last.ckpt").write_bytes(b"")
    os.utime(tmp_path / "work/runs/old/last.ckpt", (0, 0))
    shutil.copy(seven / "last.ckpt", tmp_path / "work/runs/new")
    done = script("eval.sh")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/runs/new/report/report.html").is_file()
    done = script("run_eval.sh", seven / "records", 0, shutil.copy(seven / "last.ckpt", tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "report/results.json").read_text())["videos"] == 7
    done = script("eval.sh", seven / "records", tmp_path / "none.ckpt", "--views", "2x1")
    assert (done.returncode, done.stderr[:18]) == (2, "error: checkpoint ")
    done = script("eval.sh", seven / "records")
    assert (done.returncode, done.stderr) == (2, "usage: sh scripts/eval.sh [RECORDS CKPT [options]]\n")


def independent_scores(video: Path, size: int, length: int, network: ms.nn.Cell) -> np.ndarray:
    """The protocol once more: every window without overlap, the last looped, short side to `size`, centre, mean softmax."""
    with av.open(str(video), metadata_errors="ignore") as container:
        pictures = [frame.reformat(format="rgb24", interpolation=ROUNDED) for frame in container.decode(video=0)]
        frames = np.stack([picture.to_ndarray() for picture in pictures]).astype(np.float32)
    height, width = frames.shape[1:3]
    top, left, side = (height - min(height, width)) // 2, (width - min(height, width)) // 2, min(height, width)
    square = frames[:, top : top + side, left : left + side]
    cell = side / size  # averages the pixels around each new one, whole or in part
    weight = np.maximum(0, 1 - np.abs((np.arange(size)[:, None] + 0.5) * cell - 0.5 - np.arange(side)) / cell)
    weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    rows = weight @ square.reshape(len(square), side, side * 3)
    small = np.rint(weight @ rows.reshape(len(square), size, side, 3)) / 255  # pictures are bytes
    softmax = []
    for start in range(0, len(small), length):
        window = np.resize(small[start : start + length], (length, size, size, 3))
        clip = (window - np.array(CLIP.mean)) / np.array(CLIP.std)
        logits = network(ms.Tensor(clip.transpose(3, 0, 1, 2)[None], ms.float32)).asnumpy()[0]
        softmax.append(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())
    return np.array([*np.mean(softmax, axis=0), len(softmax)])


@pytest.mark.parametrize("every", [70, pytest.param(1, marks=pytest.mark.slow)])
def test_real_clips_get_the_windows_and_predictions_of_an_independent_implementation(
    every: int, shared: Path, tmp_path: Path
) -> None:
    clips = link_real_clips(shared / "data/ucf101-mini", tmp_path / "data", every)
    records = pack(tmp_path / "data", tmp_path, "--short-side", 0, "--quality", 100)
    names = manifest.load(records).class_names
    path = save_random(tmp_path / "last.ckpt", names, replace(CLIP, frames=16, size=56))
    run_here("--records", records, "--checkpoint", path, "--out", tmp_path / "report")
    with (tmp_path / "report/per_video.csv").open(newline="") as stream:
        ours = {row["video_id"]: row for row in csv.DictReader(stream)}
    _, network = checkpoint.restore(path)
    network.set_train(False)
    assert len(ours) == len(clips)
    best = scores_of(tmp_path / "report")
    for clip in clips:
        *theirs, windows = independent_scores(clip, 56, 16, network)
        assert int(ours[clip.stem]["clips"]) == windows
        called = theirs[names.index(ours[clip.stem]["predicted"])]
        assert called > max(theirs) - TIE
        for label, score in best[clip.stem].items():
            assert score == pytest.approx(theirs[names.index(label)], abs=0.012)
    assert len({row["predicted"] for row in ours.values()}) > 1


@pytest.mark.slow
def test_evaluation_takes_at_most_1_15_times_the_network_s_own_time(shared: Path, tmp_path: Path, run: Run) -> None:
    link_real_clips(shared / "data/ucf101-mini", tmp_path / "data", every=20)
    records = pack(tmp_path / "data", tmp_path)
    names = manifest.load(records).class_names
    path = save_random(
        tmp_path / "last.ckpt", names, replace(CLIP, frames=16, size=112), ModelConfig(name="resnet3d", depth=18)
    )
    run("scripts/bench_eval.py", "--records", records, "--checkpoint", path, "--json", tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["ratio"] <= 1.15
    assert "| the network alone |" in readme_tables.measurements([tmp_path / "found.json"])
