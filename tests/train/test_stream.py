from __future__ import annotations

import hashlib
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest

from mindrecord import manifest
from preprocess.common.errors import InputError
from train import stream
from train.config import ClipConfig

CLIP = ClipConfig(8, 1, 24, (0.25, 1.0), (0.75, 1.333), 0.5, (0.4,) * 3, (0.2,) * 3)


def epochs(records: Path, seed: int, count: int = 2, split: str = "1") -> list[tuple[str, list[int]]]:
    """For each epoch, a hash of its clips and its labels in order."""
    batches = stream.training_batches(records, manifest.load(records), split, CLIP, 2, seed)
    iterator = batches.create_dict_iterator(num_epochs=count, output_numpy=True)
    result = []
    for _ in range(count):
        sha, labels = hashlib.sha256(), []
        for batch in iterator:
            assert batch["clip"].dtype == np.uint8
            assert batch["clip"].shape == (2, 8, 24, 24, 3)
            sha.update(batch["clip"].tobytes())
            labels += batch["label"].tolist()
        result.append((sha.hexdigest(), labels))
    return result


def test_the_stream_is_a_function_of_the_seed_for_any_number_of_workers(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = epochs(records, 1)
    monkeypatch.setattr(stream, "available_cpus", lambda: 1)
    assert epochs(records, 1) == expected
    assert epochs(records, 2) != expected


def test_every_epoch_has_every_training_video_once_with_other_crops(records: Path) -> None:
    first, second = epochs(records, 1)
    assert sorted(first[1]) == sorted(second[1]) == [0, 0, 0, 1, 1, 1]
    assert first[0] != second[0]


def test_fewer_videos_than_a_batch_is_refused(records: Path) -> None:
    with pytest.raises(InputError, match="has 6 training videos, a batch is 7"):
        stream.training_batches(records, manifest.load(records), "1", CLIP, 7, 0)


def test_an_unknown_split_is_refused(records: Path) -> None:
    with pytest.raises(InputError, match="--split 4 is not in these records: they have 1, 2, 3"):
        stream.training_batches(records, manifest.load(records), "4", CLIP, 1, 0)


def test_a_test_video_comes_whole_as_windows(records: Path) -> None:
    ds.config.set_seed(0)
    videos = list(stream.whole_videos(records, manifest.load(records), "2", CLIP))
    assert sorted((name, video_id, label) for name, video_id, label, _ in videos) == [
        ("Alpha", "v_Alpha_g02_c01", 0),
        ("Beta", "v_Beta_g02_c01", 1),
    ]
    for *_, windows_WTHWC in videos:  # 22 frames: two whole windows and six frames looped
        assert windows_WTHWC.shape == (3, 8, 24, 24, 3)
        assert (windows_WTHWC[2, 6:] == windows_WTHWC[2, :2]).all()
        assert not (windows_WTHWC[0] == windows_WTHWC[1]).all()
