from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import simplejpeg

from mindrecord.manifest import Absent, Manifest, Shard, count_classes
from mindrecord.row_checks import (
    FoundVideo,
    check_counts,
    check_pack,
    check_shard,
    find_leaks,
    leak_notes,
    leak_problems,
)
from preprocess.catalog import UNKNOWN, SplitSource
from preprocess.frame_settings import FrameSettings

CLASSES = ("Alpha", "Beta")
SPLITS = ("1", "2")


def jpeg(width: int = 16) -> bytes:
    noise_HWC = np.random.default_rng(0).integers(0, 255, (8, width, 3), np.uint8)
    return bytes(simplejpeg.encode_jpeg(noise_HWC))


def row(
    first: int = 0, frames: int = 3, total: int = 3, video_id: str = "one", jpegs: list[bytes] | None = None
) -> dict[str, Any]:
    jpegs = jpegs or [jpeg()] * frames
    return {
        "class_name": "Beta",
        "video_id": video_id,
        "label": 1,
        "flags": np.array([1, 2], np.int32),
        "fps": 25.0,
        "first_frame": first,
        "video_frames": total,
        "offsets": np.cumsum([0, *map(len, jpegs)]),
        "jpegs": b"".join(jpegs),
    }


def problems(rows: list[dict[str, Any]], segment_frames: int = 0, videos: int | None = None) -> list[str]:
    """What is found in a shard that should have these rows, and so many videos, one a row unless given."""
    frames = sum(len(row["offsets"]) - 1 for row in rows)
    shard = Shard(
        file="s",
        flags=(1, 2),
        rows=len(rows),
        videos=len(rows) if videos is None else videos,
        frames=frames,
        size_bytes=0,
        sha256="",
        db_size_bytes=0,
        db_sha256="",
    )
    return list(check_shard(shard, rows, CLASSES, segment_frames).problems)


def test_rows_that_are_as_they_should_be_have_no_problem() -> None:
    assert problems([row(), row(video_id="two"), row(video_id="one frame", frames=1, total=1)]) == []
    assert problems([row(0, 16, 40), row(16, 16, 40), row(32, 8, 40), row(0, 16, 16, "two")], 16, videos=2) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": 2}, "Beta/one, row 1, has label 2, there are 2 classes"),
        ({"label": -1}, "Beta/one, row 1, has label -1, there are 2 classes"),
        ({"label": 0}, "Beta/one, row 1, has label 0, which is class Alpha"),
        ({"flags": np.array([2, 1])}, "Beta/one, row 1, has flags 2, 1, its shard has 1, 2"),
        ({"jpegs": row()["jpegs"] + b"x"}, f"has offsets that do not cut its {3 * len(jpeg()) + 1} bytes into frames"),
        ({"offsets": row()["offsets"] + 1}, "has offsets that do not cut"),
        ({"offsets": row()["offsets"][[0, 1, 1, 3]]}, "has offsets that do not cut"),
        ({"offsets": row()["offsets"][[0, 2, 1, 3]]}, "has offsets that do not cut"),
    ],
)
def test_a_row_that_is_not_what_it_should_be_is_named_with_the_remedy(change: dict[str, Any], says: str) -> None:
    (found,) = problems([row() | change])
    assert says in found
    assert found.startswith("s: Beta/one, row 1, ")
    assert found.endswith(": delete the records folder and pack it again with mindrecord/build.py")


@pytest.mark.parametrize("damaged", [jpeg()[:-2], jpeg()[:-40], jpeg()[: len(jpeg()) // 2], b"x", jpeg()[2:]])
def test_a_jpeg_that_does_not_decode_to_its_end_is_found(damaged: bytes) -> None:
    (found,) = problems([row(jpegs=[jpeg(), damaged, damaged])])
    assert "has 2 frames that do not decode, the first is frame 1 of the row (" in found


def test_a_frame_of_another_size_is_found() -> None:
    (found,) = problems([row(jpegs=[jpeg(), jpeg(24), jpeg()])])
    assert "has frames of 16x8 (frame 0 of the row) and 24x8 (frame 1 of the row)" in found


A, B, C = row(0, 16, 40), row(16, 16, 40), row(32, 8, 40)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([A, B], ["Beta/one ends 8 frames early"]),
        ([A, C], ["row 2, has frames 32 to 39 of 40, not the next of its video"]),
        ([B, C], ["row 1, has frames 16 to 31 of 40, not the next of its video"]),
        ([A, C, B], ["row 2, has frames 32 to 39", "row 3, has frames 16 to 31", "Beta/one ends 8 frames early"]),
        ([A, row(0, 16, 16, "two"), B, C], ["Beta/one ends 24 frames early", "row 3, has frames 16 to 31"]),
        ([A, B, row(32, 7, 40)], ["row 3, has frames 32 to 38 of 40", "Beta/one ends 1 frames early"]),
        ([row(0, 40, 40)], ["row 1, has frames 0 to 39 of 40"]),
    ],
)
def test_segments_that_are_not_the_whole_video_in_order_are_found(rows: list[dict[str, Any]], says: list[str]) -> None:
    found = [text for text in problems(rows, 16) if "the manifest says" not in text]
    assert len(found) == len(says)
    assert all(part in text for part, text in zip(says, found, strict=True))


@pytest.mark.parametrize("what", ["rows", "videos", "frames"])
def test_a_shard_that_lacks_something_is_found(what: str) -> None:
    shard = replace(
        Shard(file="s", flags=(1, 2), rows=1, videos=1, frames=3, size_bytes=0, sha256="", db_size_bytes=0, db_sha256=""),
        **{what: 9},
    )
    (found,) = check_shard(shard, [row()], CLASSES, 0).problems
    assert f"{what}, the manifest says 9" in found


def video(video_id: str, flags: tuple[int, ...] = (1, 2), label: int = 0, shard: str = "a") -> FoundVideo:
    group = video_id[:-4].lower()
    return FoundVideo(class_name=CLASSES[label], video_id=video_id, shard=shard, label=label, group=group, flags=flags)


GOOD = (
    video("v_Alpha_g01_c01"),
    video("v_Alpha_g01_c02"),
    video("v_Alpha_g02_c01", (2, 1)),
    video("v_Beta_g01_c01", (2, 0), 1),
)
ABSENT = (Absent(class_name="Beta", video_id="v_Beta_g02_c01", flags=(1, 1), status="missing"),)
COUNTS = {"1": {"train": [2, 0], "test": [1, 1]}, "2": {"train": [1, 0], "test": [2, 0]}}


def packed(dataset: str = "ucf101", source: SplitSource = UNKNOWN) -> Manifest:
    return Manifest(
        dataset=dataset,
        class_names=CLASSES,
        splits=SPLITS,
        split_source=source,
        splits_sha256="",
        release="",
        frame_settings=FrameSettings(),
        settings={},
        frames_sha256="",
        shards=(),
        absent=ABSENT,
        class_videos=COUNTS,
    )


def test_videos_that_are_as_they_should_be_have_no_problem() -> None:
    assert count_classes([(v.label, v.flags) for v in GOOD], 2, SPLITS) == COUNTS
    assert check_pack(packed(), GOOD) == []
    assert check_counts(packed(), GOOD) == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (replace(GOOD[0], shard="b"), "b: Alpha/v_Alpha_g01_c01 is in a too: "),
        (replace(GOOD[0], shard="b", flags=(2, 0)), "is in a too, and trains and tests in split 1: "),
        (video("v_Beta_g02_c01", label=1, shard="b"), "b: Beta/v_Beta_g02_c01 is there, the manifest has it as missing: "),
    ],
)
def test_a_video_that_is_twice_there_or_not_to_be_there_is_named(more: FoundVideo, says: str) -> None:
    found = check_pack(packed(), (*GOOD, more))
    assert [says in text for text in found] == [True]


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51", "kinetics400", "activitynet", "folder", "json"])
@pytest.mark.parametrize("source", [SplitSource(drawn="lists"), SplitSource(drawn="group"), UNKNOWN], ids=str)
def test_a_group_on_both_sides_is_a_problem_in_every_data_set(dataset: str, source: SplitSource) -> None:
    leak = video("v_Alpha_g02_c09", (1, 1))
    leaks = find_leaks(packed(dataset), (*GOOD, leak))
    (problem,) = leak_problems(packed(dataset, source), leaks)
    assert "in split 1 Alpha/v_Alpha_g02_c01 tests and Alpha/v_Alpha_g02_c09 in a trains, both of group" in problem
    assert leak_notes(leaks) == []


def test_films_that_the_official_hmdb51_lists_share_are_noted_and_no_others() -> None:
    both = [replace(one, group="rush_hour_4_turnk_r") for one in (video("a", (1, 0)), video("b", (2, 0), 1))]
    mine = [replace(one, group="my_film") for one in (video("c", (1, 0)), video("d", (2, 0), 1))]
    leaks = find_leaks(packed("hmdb51"), (*both, *mine))
    assert [leak.official for leak in leaks] == [True, False]
    assert len(leak_problems(packed("hmdb51"), leaks)) == 1


def test_the_group_of_a_row_of_schema_2_is_taken_from_its_name() -> None:
    old = [replace(one, group="") for one in (*GOOD, video("v_Alpha_g02_c09", (1, 1)))]
    (leak,) = find_leaks(packed(), old)
    assert leak.group == "v_alpha_g02"


def test_a_class_with_another_number_of_videos_is_named() -> None:
    more: tuple[Callable[[], FoundVideo], ...] = (lambda: video("x", (1, 0)), lambda: video("y", (0, 2), 1))
    (one, two) = check_counts(packed(), (*GOOD, *(make() for make in more)))
    assert one.startswith("split 1 has 3 train videos of Alpha, the manifest says 2: delete the records folder and pack")
    assert two.startswith("split 2 has 1 test videos of Beta, the manifest says 0: ")
