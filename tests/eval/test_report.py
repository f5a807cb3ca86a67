from __future__ import annotations

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from eval.metrics import compute_metrics
from eval.report.results import Evaluation, write_report
from eval.report.strips import Strips
from preprocess.catalog import SplitSource
from preprocess.frame_settings import FrameSettings
from train.checkpoint import CheckpointMetadata
from train.config import ClipConfig, ModelConfig
from train.sampling import Views
from train.scoring import VideoScore

NO_STRIPS = Strips()
NASTY = '<script>alert("x")</script> & co'


def evaluation(
    folder: Path,
    classes: tuple[str, ...] = ("Alpha", NASTY, "Unseen"),
    missing: int = 2,
    strips: Strips = NO_STRIPS,
    every_class: bool = False,
) -> Evaluation:
    rng = np.random.default_rng(0)
    scores = []
    tested = len(classes) if every_class else 2
    for i in range(10 * tested):
        label = i % tested
        score = rng.dirichlet(np.ones(len(classes)) + 20 * (np.arange(len(classes)) == label) * (i % 3 > 0))
        scores.append(
            VideoScore(
                class_name=classes[label],
                video_id=f"v<{i}>",
                label=label,
                score_K=score,
                clips=3,
                clip_correct=int(score.argmax() == label) * 3,
            )
        )
    meta = CheckpointMetadata(
        model=ModelConfig(name="resnet3d", depth=10),
        clip=ClipConfig(
            frames=16,
            stride=1,
            size=56,
            crop_scale=(0.5, 1.0),
            crop_ratio=(0.75, 1.3),
            flip=0.0,
            mean=(0.4,) * 3,
            std=(0.2,) * 3,
        ),
        dataset="ucf101",
        split="1",
        class_names=classes,
        epoch=5,
    )
    found = compute_metrics(
        np.stack([v.score_K for v in scores]),
        np.array([v.label for v in scores]),
        sum(v.clip_correct for v in scores),
        3 * len(scores),
    )
    return Evaluation(
        metrics=found,
        scores=tuple(scores),
        class_names=classes,
        dataset="ucf101",
        split="1",
        missing=missing,
        meta=meta,
        clip=meta.clip,
        views=Views(),
        checkpoint=folder / "last.ckpt",
        checkpoint_sha256="0" * 64,
        records=folder / "records",
        records_sha256="1" * 64,
        seconds=2.0,
        ranks=1,
        strips=strips,
        split_source=SplitSource(drawn="group", seed=4, group_pattern="(.+)_[^_]*"),
        frame_settings=FrameSettings(short_side=128),
        splits_sha256="2" * 64,
    )


class Page(HTMLParser):
    """Collects the page's tags, the addresses it refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_results_json_has_the_figures_with_their_denominators(tmp_path: Path) -> None:
    done = evaluation(tmp_path)
    write_report(done, tmp_path / "report")
    found = json.loads((tmp_path / "report/results.json").read_text())
    f = done.metrics
    assert [
        found[key] for key in ("top1", "top5", "clip_top1", "mean_class_accuracy", "videos", "clips", "missing_videos")
    ] == [f.top1, f.top5, f.clip_top1, f.mean_class_accuracy, 20, 60, 2]
    assert np.sum(found["confusion"]) == 20


def test_the_tables_add_up_to_the_figures(tmp_path: Path) -> None:
    done = evaluation(tmp_path)
    write_report(done, tmp_path / "report")
    with (tmp_path / "report/per_video.csv").open(newline="") as stream:
        videos = list(csv.DictReader(stream))
    with (tmp_path / "report/per_class.csv").open(newline="") as stream:
        classes = list(csv.DictReader(stream))
    assert len(videos) == 20
    assert sum(row["hit"] == "True" for row in videos) / 20 == done.metrics.top1
    assert [(row["class"], row["videos"]) for row in classes] == [("Alpha", "10"), (NASTY, "10"), ("Unseen", "0")]
    assert sum(int(row["hits"]) for row in classes) / 20 == done.metrics.top1


def test_names_in_the_page_stay_text_and_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "curves.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    write_report(evaluation(tmp_path), tmp_path / "report")
    page = Page((tmp_path / "report/report.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 2  # the page's own
    assert 'alert("x")' in page.text
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)
    assert "2 listed test videos are missing" in page.text


def test_a_checkpoint_that_was_chosen_on_the_test_list_is_labelled_so(tmp_path: Path) -> None:
    found = evaluation(tmp_path)
    for chosen_on, says in (("test", "chosen on the test list"), ("held_out", "chosen by 71.0% on held-out")):
        chosen = replace(found, meta=replace(found.meta, chosen_on=chosen_on, accuracy=0.71))
        write_report(chosen, tmp_path / "report")
        assert says in Page((tmp_path / "report/report.html").read_text(encoding="utf-8")).text
        assert ("CHOSEN ON THE TEST LIST" in chosen.headline()[0]) == (chosen_on == "test")


def test_a_page_of_101_classes_leaves_out_those_that_never_occur(tmp_path: Path) -> None:
    write_report(evaluation(tmp_path, tuple(f"Class{i:03d}" for i in range(101)), missing=0), tmp_path / "report")
    text = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert "listed test videos are missing" not in text
    assert "of the 2 classes with test videos, 101 in all" in text
    assert len(text) < 300_000


def test_a_report_is_replaced_whole(tmp_path: Path) -> None:
    write_report(evaluation(tmp_path), tmp_path / "report")
    (tmp_path / "report/old.txt").write_text("from the last time")
    write_report(evaluation(tmp_path), tmp_path / "report")
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == [
        "per_class.csv",
        "per_video.csv",
        "predictions.json",
        "report.html",
        "results.json",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["report"]
