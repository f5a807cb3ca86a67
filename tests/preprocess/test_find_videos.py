from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.annotations.find_videos import list_videos, locate, match
from preprocess.catalog import TRAIN, UNKNOWN, Catalog, Video

LONG = "run/abcdefghijk_000010_000020.mp4"
OTHER_CASE = "run/ABCDEFGHIJK_000010_000020.mp4"


@pytest.mark.parametrize(
    ("dataset", "listed", "on_disk", "found"),
    [
        # where the list says, then elsewhere, then under the bare id
        ("kinetics400", [LONG], [LONG, "val/run/abcdefghijk_000010_000020.mp4"], [LONG]),
        ("kinetics600", [LONG], ["train/run/abcdefghijk_000010_000020.mkv"], ["train/run/abcdefghijk_000010_000020.mkv"]),
        ("kinetics700", [LONG], ["abcdefghijk_000010_000020.mp4"], ["abcdefghijk_000010_000020.mp4"]),
        ("kinetics700", [LONG], ["run/abcdefghijk.mp4"], ["run/abcdefghijk.mp4"]),
        ("kinetics700", [LONG], ["a.mp4", "abcdefghijk.webm", "x/" + LONG], ["x/" + LONG]),
        # ids keep their case where two differ by it, and may lose it where none does
        ("kinetics400", [LONG], ["Run/ABCDEFGHIJK.MP4"], ["Run/ABCDEFGHIJK.MP4"]),
        ("kinetics400", [LONG, OTHER_CASE], ["x/" + OTHER_CASE], [None, "x/" + OTHER_CASE]),
        ("kinetics400", [LONG], ["a/AbcDefghijk.mp4", "b/aBCDefghijk.mp4"], [None]),
        # an id may itself look like one with a prefix or with times
        ("kinetics400", ["run/_000010_00_000010_000020.mp4"], ["_000010_00.mp4"], ["_000010_00.mp4"]),
        ("activitynet", ["v_v_abcdefghi.mp4"], ["v_abcdefghi.mp4"], ["v_abcdefghi.mp4"]),
        ("activitynet", ["v_abcdefghijk.mp4"], ["training/v_abcdefghijk.mkv"], ["training/v_abcdefghijk.mkv"]),
        ("activitynet", ["v_abcdefghijk.mp4"], ["abcdefghijk.avi"], ["abcdefghijk.avi"]),
        # of copies, the class's folder first, then the suffix
        ("kinetics400", [LONG], ["a/abcdefghijk.mp4", "z/run/abcdefghijk.webm"], ["z/run/abcdefghijk.webm"]),
        ("activitynet", ["v_abcdefghijk.mp4"], ["abcdefghijk.avi", "abcdefghijk.mp4"], ["abcdefghijk.mp4"]),
        # Moments has one file name in several classes
        ("moments", ["training/run/1.mp4"], ["training/walk/1.mp4"], [None]),
        ("moments", ["training/run/1.mp4"], ["run/1.MP4", "walk/1.mp4"], ["run/1.MP4"]),
        ("json", ["Run/a.mp4"], ["Run/a.avi", "Walk/a.mp4"], ["Run/a.avi"]),
        # lists that name their files exactly are taken at their word
        ("ucf101", ["A/v_a_g01_c01.avi"], ["A/v_a_g01_c01.mp4", "A/b/v_a_g01_c01.avi"], [None]),
        ("ucf101", ["A/v_a_g01_c01.avi"], ["a/V_A_g01_c01.AVI"], ["a/V_A_g01_c01.AVI"]),
        ("ucf101", ["A/x.avi"], ["A/X.avi", "a/x.avi"], [None]),
        # each part of a merged data set is searched below its own folder
        (
            "kinetics700_moments",
            ["kinetics700/video/" + LONG, "moments/video/training/run/1.mp4"],
            ["kinetics700/video/training/run/1.mp4", "moments/video/abcdefghijk.mp4", "moments/video/run/1.mp4"],
            [None, "moments/video/run/1.mp4"],
        ),
    ],
)
def test_listed_videos_are_found_where_the_rule_says(
    dataset: str, listed: Sequence[str], on_disk: Sequence[str], found: Sequence[str | None]
) -> None:
    located = locate(dataset, listed, sorted(on_disk))
    assert [located.get(path) for path in listed] == found


NAMES = st.sampled_from(["aa", "Aa", "AA", "b", "v_aa", "aa_000001_000002", "AA_000001_000002"])
PATHS = st.lists(
    st.builds(lambda folder, name, end: folder + name + end, st.sampled_from(["", "x/", "X/", "y/x/"]), NAMES,
              st.sampled_from([".mp4", ".MP4", ".avi"])),
    unique=True,
    max_size=8,
)  # fmt: skip


@given(st.sampled_from(["kinetics400", "activitynet", "moments", "ucf101"]), PATHS, PATHS)
def test_what_is_found_is_on_disk_and_an_exact_path_is_always_found(
    dataset: str, listed: list[str], on_disk: list[str]
) -> None:
    located = locate(dataset, listed, on_disk)
    assert set(located) <= set(listed)
    assert set(located.values()) <= set(on_disk)
    assert all(located[path] == path for path in set(listed) & set(on_disk))
    assert located == locate(dataset, listed[::-1], on_disk[::-1])


def test_found_missing_and_unlisted_are_all_there_is_at_any_depth(tmp_path: Path) -> None:
    for name in (
        "v_a.mkv",
        "deep/er/v_b.mp4",
        "v_b.avi",
        "stranger.mp4",
        ".hidden/v_c.mp4",
        "deep/.v_c.mp4",
        "deep/v_c.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    videos = tuple(
        Video(
            class_name="Run",
            video_id=f"{name}_{i}",
            label=0,
            path=f"v_{name}.mp4",
            flags=(TRAIN,),
            segment_s=(0.0, float(i)),
        )
        for name in "abc"
        for i in (1, 2)
    )
    matched = match(
        Catalog(dataset="activitynet", class_names=("Run",), splits=("1",), videos=videos, split_source=UNKNOWN), tmp_path
    )
    assert [matched.found[video] for video in videos[:4]] == ["v_a.mkv", "v_a.mkv", "v_b.avi", "v_b.avi"]
    assert matched.missing == videos[4:]
    assert matched.unlisted == ("deep/er/v_b.mp4", "stranger.mp4")


def test_linked_folders_are_followed_and_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.avi").touch()
    (tmp_path / "video").mkdir()
    (tmp_path / "video/Run").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "video/Walk").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "video")
    (tmp_path / "elsewhere/broken.avi").symlink_to(tmp_path / "nowhere")
    assert list_videos(tmp_path / "video") == ["Run/a.avi", "Walk/a.avi"]


def test_clips_outside_class_folders_are_named_as_unlisted(tmp_path: Path) -> None:
    for name in ("Run/a.avi", "Run/more/b.avi", "c.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    catalog = Catalog(
        dataset="folder",
        class_names=("Run",),
        splits=("1",),
        videos=(Video(class_name="Run", video_id="a", label=0, path="Run/a.avi", flags=(TRAIN,)),),
        split_source=UNKNOWN,
    )
    assert match(catalog, tmp_path).unlisted == ("Run/more/b.avi", "c.avi")
