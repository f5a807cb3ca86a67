from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.annotations import read_catalog
from preprocess.annotations.find_videos import match
from preprocess.catalog import TEST, TRAIN, UNUSED
from preprocess.common.errors import InputError


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Lists with UCF101's traps: CR LF, order ignoring case, a folder spelled unlike its files."""
    (tmp_path / "video").mkdir()
    write(tmp_path / "split/classInd.txt", "1 Hammering\r\n2 HammerThrow\r\n3 HandstandPushups\r\n")
    write(
        tmp_path / "split/trainlist01.txt",
        "HammerThrow/v_HammerThrow_g08_c01.avi 2\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 3\r\n",
    )
    write(tmp_path / "split/testlist01.txt", "Hammering/v_Hammering_g01_c01.avi\r\n")
    return tmp_path


def test_ucf101_labels_come_from_class_ind_and_not_from_sorting_or_file_names(root: Path) -> None:
    catalog = read_catalog("ucf101", root)
    assert catalog.class_names == ("Hammering", "HammerThrow", "HandstandPushups")
    assert [(v.class_name, v.video_id, v.label, v.flags) for v in catalog.videos] == [
        ("Hammering", "v_Hammering_g01_c01", 0, (TEST,)),
        ("HammerThrow", "v_HammerThrow_g08_c01", 1, (TRAIN,)),
        ("HandstandPushups", "v_HandStandPushups_g08_c01", 2, (TRAIN,)),
    ]


def test_ucf101_lists_with_lf_read_as_those_with_cr_lf(root: Path) -> None:
    expected = read_catalog("ucf101", root)
    for path in (root / "split").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    assert read_catalog("ucf101", root) == expected


def test_a_video_that_a_split_leaves_out_is_unused_there(root: Path) -> None:
    write(root / "split/trainlist02.txt", "Hammering/v_Hammering_g01_c01.avi 1\n")
    write(root / "split/testlist02.txt", "HammerThrow/v_HammerThrow_g08_c01.avi\n")
    catalog = read_catalog("ucf101", root)
    assert catalog.splits == ("1", "2")
    assert {v.video_id: v.flags for v in catalog.videos} == {
        "v_Hammering_g01_c01": (TEST, TRAIN),
        "v_HammerThrow_g08_c01": (TRAIN, TEST),
        "v_HandStandPushups_g08_c01": (TRAIN, UNUSED),
    }


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("trainlist01.txt", "", "trainlist01.txt is empty"),
        ("trainlist01.txt", "Hammering/v_x_g01_c01.avi 2\n", "label 2 is not the number of Hammering"),
        ("trainlist01.txt", "Juggling/v_x_g01_c01.avi 2\n", "line 1: 'Juggling/v_x_g01_c01.avi' is not Class/name.avi"),
        ("testlist01.txt", "HammerThrow/v_HammerThrow_g08_c01.avi\n", "is in the train list of the same split"),
        ("classInd.txt", "1 Hammering\n3 HammerThrow\n", "should number the classes 1, 2, 3"),
        ("testlist01.txt", "a b c d\n", "is not a list of video label"),
    ],
)
def test_ucf101_lists_that_contradict_themselves_are_refused_by_name(root: Path, file: str, text: str, says: str) -> None:
    write(root / "split" / file, text)
    with pytest.raises(InputError, match=says) as raised:
        read_catalog("ucf101", root)
    assert file in str(raised.value)


def test_hmdb51_reads_flags_of_names_full_of_signs(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    name = "-v_#1_(a&b);[x]!~@+.avi"
    for split, flag in ((1, 1), (2, 2), (3, 0)):
        write(tmp_path / f"split/climb_test_split{split}.txt", f"{name} {flag} \n")
        write(tmp_path / f"split/climb_stairs_test_split{split}.txt", f"other.avi {flag} \n")
    catalog = read_catalog("hmdb51", tmp_path)
    assert catalog.class_names == ("climb", "climb_stairs")
    assert [(v.path, v.label, v.flags) for v in catalog.videos] == [
        (f"climb/{name}", 0, (1, 2, 0)),
        ("climb_stairs/other.avi", 1, (1, 2, 0)),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.avi 3 \n", "flag '3' of a.avi should be 0, 1 or 2"),
        ("", "is empty"),
        ("a.avi 1 \na.avi 2 \n", "line 2: a.avi has flag 1 above"),
    ],
)
def test_hmdb51_bad_split_files_are_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "video").mkdir()
    write(tmp_path / "split/climb_test_split1.txt", text)
    with pytest.raises(InputError, match=says):
        read_catalog("hmdb51", tmp_path)


def test_a_folder_of_videos_is_split_reproducibly_with_both_parts_in_every_class(tmp_path: Path) -> None:
    for class_name in ("jump", "été"):
        for i in range(10):
            write(tmp_path / "video" / class_name / f"{i}.MP4", "")
    write(tmp_path / "video/jump/notes.txt", "")
    catalog = read_catalog("folder", tmp_path)
    assert catalog == read_catalog("folder", tmp_path)
    assert catalog.class_names == ("jump", "été")
    for label in (0, 1):
        assert sorted(v.flags[0] for v in catalog.videos if v.label == label) == [TRAIN] * 8 + [TEST] * 2


def test_two_files_that_would_share_a_frames_folder_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "video/jump/a.avi", "")
    write(tmp_path / "video/jump/a.mp4", "")
    with pytest.raises(InputError, match=r"jump/a: jump/a\.avi and jump/a\.mp4"):
        read_catalog("folder", tmp_path)


def test_every_clip_on_disk_is_found_missing_or_named_as_unlisted(root: Path) -> None:
    write(root / "video/HammerThrow/v_hammerthrow_G08_c01.avi", "")  # another spelling of a listed one
    write(root / "video/Hammering/extra.avi", "")
    matched = match(read_catalog("ucf101", root), root / "video")
    assert list(matched.found.values()) == ["HammerThrow/v_hammerthrow_G08_c01.avi"]
    assert [v.class_name for v in matched.missing] == ["Hammering", "HandstandPushups"]
    assert matched.unlisted == ("Hammering/extra.avi",)


def test_official_ucf101_lists_have_the_published_counts(shared: Path) -> None:
    catalog = read_catalog("ucf101", shared / "data/ucf101-mini")
    assert (len(catalog.videos), len(catalog.class_names)) == (13320, 101)
    counts = [tuple(sum(v.flags[i] == flag for v in catalog.videos) for flag in (TRAIN, TEST)) for i in range(3)]
    assert counts == [(9537, 3783), (9586, 3734), (9624, 3696)]
    groups = [{(v.class_name, v.video_id.split("_")[-2]) for v in catalog.videos if v.flags[0] == f} for f in (TRAIN, TEST)]
    assert not groups[0] & groups[1]


def test_official_hmdb51_lists_have_the_published_counts(shared: Path) -> None:
    catalog = read_catalog("hmdb51", shared / "data/hmdb51-mini")
    assert (len(catalog.videos), len(catalog.class_names)) == (6766, 51)
    for i in range(3):
        for label in range(51):
            flags = [v.flags[i] for v in catalog.videos if v.label == label]
            assert (flags.count(TRAIN), flags.count(TEST)) == (70, 30)
