from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.annotations import ReaderOptions, read_catalog
from preprocess.annotations.folder import draw_groups, wanted_tests
from preprocess.catalog import TEST, TRAIN, Catalog
from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.extract_dataset import Options

BY_GROUP = ReaderOptions(split_by="group")


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / "video" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "video" / path).touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Clips named as UCF101's: two classes, ten groups of four clips."""
    for name in ("Alpha", "Beta"):
        touch(tmp_path, *(f"{name}/v_{name}_g{g:02d}_c{c:02d}.avi" for g in range(1, 11) for c in range(1, 5)))
    return tmp_path


def groups(catalog: Catalog, flag: int) -> set[str]:
    return {video.video_id.rpartition("_")[0] for video in catalog.videos if video.flags == (flag,)}


def test_split_by_group_puts_a_group_on_one_side_and_a_fifth_of_each_class_in_testing(root: Path) -> None:
    catalog = read_catalog("folder", root, BY_GROUP)
    assert not groups(catalog, TRAIN) & groups(catalog, TEST)
    for label in (0, 1):
        assert sorted(v.flags[0] for v in catalog.videos if v.label == label) == [TRAIN] * 32 + [TEST] * 8
    assert groups(read_catalog("folder", root), TRAIN) & groups(read_catalog("folder", root), TEST)  # which random does not


@pytest.mark.parametrize("split_by", ["random", "group"])
def test_the_draw_depends_on_the_seed_and_on_nothing_else(root: Path, split_by: str) -> None:
    first = read_catalog("folder", root, ReaderOptions(split_by=split_by, split_seed=0))
    assert first == read_catalog("folder", root, ReaderOptions(split_by=split_by, split_seed=0))
    assert first != read_catalog("folder", root, ReaderOptions(split_by=split_by, split_seed=1))


def test_a_group_stays_together_across_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/film{g}_{i}.mp4" for name in ("jump", "run") for g in range(10) for i in (1, 2)))
    catalog = read_catalog("folder", tmp_path, BY_GROUP)
    assert not groups(catalog, TRAIN) & groups(catalog, TEST)
    assert sum(v.flags == (TEST,) for v in catalog.videos) == 8


def test_a_group_pattern_of_ones_own_says_what_a_group_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *(f"jump/cam{camera}-day{day}.mp4" for camera in range(5) for day in range(3)), "jump/odd.mp4")
    catalog = read_catalog("folder", tmp_path, ReaderOptions(split_by="group", group_pattern="(cam[0-9]+)-.*"))
    tests = [v.video_id for v in catalog.videos if v.flags == (TEST,)]
    assert len(tests) == 3
    assert len({name.split("-")[0] for name in tests if name != "odd"}) == 1
    assert "does not fit 1 of 16 names, which are groups of their own" in capsys.readouterr().out


def test_a_class_of_one_group_only_trains_and_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(root, "Gamma/v_Gamma_g01_c01.avi", "Gamma/v_Gamma_g01_c02.avi")
    catalog = read_catalog("folder", root, BY_GROUP)
    assert [v.flags for v in catalog.videos if v.class_name == "Gamma"] == [(TRAIN,), (TRAIN,)]
    assert "1 classes have nothing to test, having too few clips or groups: Gamma" in capsys.readouterr().out


def test_large_groups_do_not_swallow_a_class(tmp_path: Path) -> None:
    touch(tmp_path, *(f"jump/a_{i}.mp4" for i in range(90)), *(f"jump/b_{i}.mp4" for i in range(30)))
    for seed in range(5):  # b is more than a fifth, but a, the other choice, would be three quarters
        catalog = read_catalog("folder", tmp_path, ReaderOptions(split_by="group", split_seed=seed))
        assert groups(catalog, TEST) == {"b"}


CLASSES = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=4)


@given(CLASSES, st.integers(0, 3), st.booleans())
def test_groups_never_cross_and_every_class_can_train(classes: list[list[int]], seed: int, shared_groups: bool) -> None:
    by_class = [[f"{label}/{i}" for i in range(len(members))] for label, members in enumerate(classes)]
    group = {
        f"{label}/{i}": str(g) if shared_groups else f"{label}-{g}"
        for label, members in enumerate(classes)
        for i, g in enumerate(members)
    }
    tests = draw_groups(by_class, group, seed)
    assert not {group[p] for p in group if p in tests} & {group[p] for p in group if p not in tests}
    for members in by_class:
        assert set(members) - tests
        if not shared_groups and len({group[p] for p in members}) > 1:
            assert set(members) & tests


@pytest.mark.parametrize(("clips", "tests"), [(1, 0), (2, 1), (5, 1), (10, 2), (13, 3)])
def test_a_fifth_is_tested_but_never_all(clips: int, tests: int) -> None:
    assert wanted_tests(clips) == tests


@pytest.mark.parametrize(
    ("dataset", "options", "says"),
    [
        ("folder", ReaderOptions(split_seed=-1), "--split-seed -1 is not 0 or more"),
        ("folder", ReaderOptions(group_pattern="("), r"--group-pattern \( is not a regular expression"),
        ("folder", ReaderOptions(group_pattern="a.*"), r"--group-pattern a\.\* needs parentheses"),
        ("ucf101", BY_GROUP, "are for --dataset folder: ucf101 has lists that say its splits"),
        (
            "folder",
            ReaderOptions(hmdb51_release="stabilised"),
            "--hmdb51-release stabilised means nothing for --dataset folder",
        ),
    ],
)
def test_options_that_are_wrong_or_for_another_data_set_are_refused(
    root: Path, dataset: str, options: ReaderOptions, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        read_catalog(dataset, root, options)


@pytest.mark.parametrize(
    ("option", "value"), [("--split-by", "scene"), ("--hmdb51-release", "stabilized"), ("--layout", "tar")]
)
def test_a_choice_that_is_none_is_refused_and_the_choices_are_named(option: str, value: str) -> None:
    with pytest.raises(InputError, match=f"invalid choice '{value}' for argument '{option}'. Expected one of"):
        cli.parse(Options, [option, value])


@pytest.mark.parametrize("name", ["--seed", "--split-seed"])
def test_the_seed_of_the_draw_has_a_long_and_a_short_name(name: str) -> None:
    assert cli.parse(Options, [name, "3"]).reader.split_seed == 3


def test_videos_carry_the_group_that_the_pattern_finds_and_the_catalog_how_they_were_drawn(root: Path) -> None:
    catalog = read_catalog("folder", root, ReaderOptions(split_by="group", split_seed=5))
    assert {video.group for video in catalog.videos} == groups(catalog, TRAIN) | groups(catalog, TEST)
    assert str(catalog.split_source) == "by group (seed 5, pattern (.+)_[^_]*)"
    alone = read_catalog("folder", root)
    assert [video.group for video in alone.videos] == [video.name for video in alone.videos]
    assert str(alone.split_source) == "at random, clip by clip (seed 0)"
