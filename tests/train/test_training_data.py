from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import listed_for_testing

from mindrecord import build_records, manifest
from mindrecord.sources.frames import FramesOptions
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from train import evaluation_windows
from train import loader as loader_choice
from train.config import DEFAULT_RECIPE, ClipConfig, load_recipe
from train.training_data import TrainingData, epoch_indices, training_videos
from train.watchdog import Watchdog

CLIP = ClipConfig(
    frames=8,
    stride=1,
    size=24,
    crop_scale=(0.25, 1.0),
    crop_ratio=(0.75, 1.333),
    flip=0.5,
    mean=(0.4,) * 3,
    std=(0.2,) * 3,
)


@pytest.fixture(scope="module", params=[7, 16])
def segments(frames: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The records with videos in segments of a number of frames that windows of 16 do or do not divide."""
    out = tmp_path_factory.mktemp("segments") / "records"
    options = FramesOptions(frames=frames, out=out, segment_frames=request.param)
    assert build_records.main(options) == 0
    return out


def training(records: Path, split: str = "1", clip: ClipConfig = CLIP, batch_size: int = 2, **options: Any) -> TrainingData:
    """The training data of a split."""
    videos = training_videos(records, manifest.load(records), split, batch_size)
    return TrainingData(videos=videos, clip=clip, batch_size=batch_size, **options)


def epochs(
    records: Path, seed: int, count: int = 2, first_epoch: int = 0, clip: ClipConfig = CLIP, **options: Any
) -> list[tuple[str, list[int]]]:
    """For each epoch, a hash of its clips and weights and its labels in order."""
    iterator = (
        training(records, clip=clip, seed=seed, **options)
        .batches(range(first_epoch, first_epoch + count))
        .create_dict_iterator(num_epochs=1, output_numpy=True)
    )
    batches = list(iterator)
    assert len(batches) % count == 0
    result = []
    for epoch in range(count):
        sha, labels = hashlib.sha256(), []
        for batch in batches[epoch * len(batches) // count : (epoch + 1) * len(batches) // count]:
            assert batch["clip"].dtype == np.uint8
            assert batch["clip"].shape == (2, 8, 24, 24, 3)
            assert batch["label"].dtype == np.int32
            assert batch["weight"].dtype == np.float32
            sha.update(batch["clip"].tobytes() + batch["weight"].tobytes())
            labels += batch["label"].tolist()
        result.append((sha.hexdigest(), labels))
    return result


@pytest.fixture(scope="module")
def two_epochs(records: Path) -> list[tuple[str, list[int]]]:
    return epochs(records, 1, workers=1)


@pytest.mark.parametrize(("workers", "processes"), [(2, False), (4, False), (2, True)])  # 4: clamped to the cores there are
def test_the_stream_is_the_same_for_any_number_of_threads_or_processes(
    records: Path, two_epochs: list[tuple[str, list[int]]], workers: int, processes: bool
) -> None:
    assert epochs(records, 1, workers=workers, processes=processes) == two_epochs


def test_another_seed_gives_another_stream(records: Path, two_epochs: list[tuple[str, list[int]]]) -> None:
    assert not {sha for sha, _ in epochs(records, 2)} & {sha for sha, _ in two_epochs}


def test_every_epoch_has_every_training_video_once_with_other_crops(two_epochs: list[tuple[str, list[int]]]) -> None:
    first, second = two_epochs
    assert sorted(first[1]) == sorted(second[1]) == [0, 0, 0, 1, 1, 1]
    assert first[0] != second[0]


def test_a_run_that_starts_at_the_second_epoch_goes_on_as_one_that_came_from_the_first(
    records: Path, two_epochs: list[tuple[str, list[int]]]
) -> None:
    assert epochs(records, 1, count=1, first_epoch=1) == two_epochs[1:]


def test_the_segments_of_a_video_change_neither_training_nor_evaluation(
    records: Path, segments: Path, two_epochs: list[tuple[str, list[int]]]
) -> None:
    assert sum(shard.rows for shard in manifest.load(segments).shards) > sum(
        shard.videos for shard in manifest.load(segments).shards
    )
    assert epochs(segments, 1) == two_epochs
    clip = replace(CLIP, frames=16, test_crops=3)
    whole, cut = (
        list(evaluation_windows.whole_videos(listed_for_testing(folder, "1"), clip)) for folder in (records, segments)
    )
    assert [video.name for video, _ in whole] == [video.name for video, _ in cut]
    for (*_, whole_WTHWC), (*_, cut_WTHWC) in zip(whole, cut, strict=True):
        assert (whole_WTHWC == cut_WTHWC).all()


@pytest.mark.parametrize(
    ("videos", "ranks", "batch_size"), [(3, 8, 1), (3, 8, 2), (100, 8, 4), (96, 8, 4), (7, 1, 3), (1, 1, 1)]
)
def test_over_all_ranks_every_video_counts_once_an_epoch(videos: int, ranks: int, batch_size: int) -> None:
    for epoch in range(3):
        parts = [epoch_indices(videos, batch_size, 5, epoch, rank, ranks) for rank in range(ranks)]
        assert len({len(part) for part in parts}) == 1
        assert len(parts[0]) % batch_size == 0
        assert (len(parts[0]) - batch_size) * ranks < videos  # no batch more than is needed
        counted = np.concatenate([part[part[:, 2] == 1] for part in parts])
        assert sorted(counted[:, 1]) == list(range(videos))
        assert sorted(np.concatenate(parts)[:, 0]) == list(range(ranks * len(parts[0])))


def test_three_videos_feed_eight_ranks(records: Path) -> None:
    """Six videos here, of which each of eight ranks gets one batch of two: two whole batches' worth count."""
    weights, shas = [], set()
    for rank in range(8):
        data = training(records, seed=1, rank=rank, ranks=8)
        assert data.steps_per_epoch == 1
        (batch,) = data.batches().create_dict_iterator(num_epochs=1, output_numpy=True)
        weights += batch["weight"].tolist()
        shas.add(hashlib.sha256(batch["clip"].tobytes()).hexdigest())
    assert sum(weights) == 6
    assert len(shas) == 8


def test_orders_are_other_permutations_each_epoch_and_seed() -> None:
    orders = {tuple(epoch_indices(50, 5, seed, epoch)[:, 1]) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": "uniform"},
        {"sampling": "centre"},
        {"crop": "multiscale"},
        {"crop": "centre"},
        {"jitter": (0.4, 0.4, 0.4)},
        {"frames": 8, "stride": 30},  # longer than the videos: looped
    ],
)
def test_a_recipe_chooses_samplers_crops_and_colours(
    records: Path, two_epochs: list[tuple[str, list[int]]], change: dict[str, Any]
) -> None:
    clip = replace(CLIP, **change)
    ((sha, labels),) = epochs(records, 1, count=1, clip=clip)
    assert sha != two_epochs[0][0]
    assert labels == two_epochs[0][1]


def test_the_watchdog_names_the_stage_that_is_stuck(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for counts in (None, [], [{"read": 2}, {"decoded": 1}], [{"read": 4}, {"decoded": 4}]):
        watchdog = Watchdog(4, seconds=0.05, counts=counts is not None)
        for count in counts or []:
            watchdog.count(**count)
        time.sleep(0.2)
        said += capsys.readouterr().out.splitlines()
    assert said == [
        "no batch after 0.05 s: stuck in reading, decoding or batching (which of them, --loader threads would say); "
        "still waiting",
        "no batch after 0.05 s: stuck in reading shards (0 clips read, 0 decoded, 4 wanted); still waiting",
        "no batch after 0.05 s: stuck in decoding and augmenting (2 clips read, 1 decoded, 4 wanted); still waiting",
        "no batch after 0.05 s: stuck in batching, or the network is still being compiled; still waiting",
    ]


def test_the_watchdog_follows_a_stream_and_is_silent_when_the_batch_comes(
    records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watchdog = Watchdog(2, seconds=5)
    epochs(records, 1, count=1, watchdog=watchdog)
    watchdog.stop()
    assert watchdog.read == watchdog.decoded == 6
    assert watchdog.stage().startswith("stuck in batching")
    assert capsys.readouterr().out == ""


def test_fewer_videos_than_a_batch_is_refused(records: Path) -> None:
    with pytest.raises(InputError, match="has 6 training videos, a batch is 7"):
        training(records, batch_size=7)


def test_an_unknown_split_is_refused(records: Path) -> None:
    with pytest.raises(InputError, match="--split 4 is not in these records: they have 1, 2, 3"):
        training(records, split="4", batch_size=1)


def test_a_test_video_comes_whole_as_windows(records: Path) -> None:
    videos = list(evaluation_windows.whole_videos(listed_for_testing(records, "2"), CLIP))
    assert sorted((video.class_name, video.video_id, video.label) for video, _ in videos) == [
        ("Alpha", "v_Alpha_g02_c01", 0),
        ("Beta", "v_Beta_g02_c01", 1),
    ]
    three = list(evaluation_windows.whole_videos(listed_for_testing(records, "2"), replace(CLIP, test_crops=3)))
    for (*_, windows_WTHWC), (*_, thrice_WTHWC) in zip(videos, three, strict=True):
        assert (thrice_WTHWC[3:6] == windows_WTHWC).all()  # the middle one
        assert (thrice_WTHWC[:3] != thrice_WTHWC[6:]).any()
    for *_, windows_WTHWC in videos:  # 22 frames: two whole windows and six frames looped
        assert windows_WTHWC.shape == (3, 8, 24, 24, 3)
        assert (windows_WTHWC[2, 6:] == windows_WTHWC[2, :2]).all()
        assert not (windows_WTHWC[0] == windows_WTHWC[1]).all()


def test_workers_go_on_into_the_next_epoch_while_the_last_batch_of_one_is_decoded(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches an epoch on two workers: the second worker would wait at each epoch's end."""
    if available_cpus() < 2:
        pytest.skip("one CPU, on which MindData has one worker")
    spans: list[tuple[float, float, int]] = []
    load = TrainingData.load

    def slow(data: TrainingData, places: np.ndarray) -> Any:
        began = time.monotonic()
        time.sleep(0.1)
        found = load(data, places)
        spans.append((began, time.monotonic(), int(places[0, 0])))
        return found

    monkeypatch.setattr(TrainingData, "load", slow)
    data = training(records, seed=1, workers=2)
    assert data.steps_per_epoch == 3
    assert len(list(data.batches(range(2)).create_dict_iterator(num_epochs=1, output_numpy=True))) == 6
    last_ended = max(ended for _, ended, epoch in spans if epoch == 0)
    assert min(began for began, _, epoch in spans if epoch == 1) < last_ended


@pytest.mark.parametrize(
    ("loader", "workers", "room_gb", "processes"),
    [
        ("threads", 24, 100, False),
        ("processes", 1, 0, True),
        ("auto", 8, 100, False),
        ("auto", 24, 100, True),
        ("auto", 24, 15, False),  # a batch of ucf101_r3d50 is 77 MB; 26 for each of eight ranks
    ],
)
def test_processes_decode_where_workers_are_many_and_shared_memory_has_the_room(
    loader: Any, workers: int, room_gb: int, processes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_choice.shutil, "disk_usage", lambda _: SimpleNamespace(free=room_gb * 10**9))
    assert loader_choice.uses_processes(loader, load_recipe(DEFAULT_RECIPE), workers, ranks=8) == processes
