from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from preprocess import frame_store
from preprocess.common.errors import InputError

layouts = pytest.mark.parametrize("layout", frame_store.LAYOUTS)
JPEGS = [b"first", b"", b"third" * 1000]


def publish(folder: Path, layout: str, jpegs: list[bytes] = JPEGS) -> Path:
    path = frame_store.target(folder, "Class", "video.zip", layout)
    with frame_store.frame_writer(path, layout) as write:
        for number, jpeg in enumerate(jpegs, start=1):
            write(number, jpeg)
    return path


@layouts
def test_what_is_written_is_what_is_read(tmp_path: Path, layout: str) -> None:
    path = publish(tmp_path, layout)
    assert frame_store.read_frames(path, layout, 3) == JPEGS
    assert frame_store.frame_bytes(path, layout, 3) == [len(jpeg) for jpeg in JPEGS]
    assert [p.name for p in (tmp_path / "Class").iterdir()] == [path.name]


@layouts
def test_nothing_appears_when_writing_breaks_off_and_what_was_there_stays(tmp_path: Path, layout: str) -> None:
    path = publish(tmp_path, layout)

    def break_off() -> None:
        with frame_store.frame_writer(path, layout) as write:
            write(1, b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert frame_store.read_frames(path, layout, 3) == JPEGS
    assert [p.name for p in (tmp_path / "Class").iterdir()] == [path.name]


@layouts
def test_publishing_again_replaces_and_a_leftover_is_no_obstacle(tmp_path: Path, layout: str) -> None:
    path = publish(tmp_path, layout)
    path.with_name(f".{path.name}.partial").mkdir()
    publish(tmp_path, layout, [b"other"])
    assert frame_store.read_frames(path, layout, 1) == [b"other"]
    assert [p.name for p in (tmp_path / "Class").iterdir()] == [path.name]


@layouts
def test_a_missing_frame_is_named(tmp_path: Path, layout: str) -> None:
    path = publish(tmp_path, layout)
    for function in (frame_store.read_frames, frame_store.frame_bytes):
        with pytest.raises(InputError, match=r"image_00004\.jpg"):
            function(path, layout, 4)
    frame_store.remove(path)
    for function in (frame_store.read_frames, frame_store.frame_bytes):
        with pytest.raises(InputError, match=r"video\.zip"):
            function(path, layout, 1)


def test_a_zip_is_stored_and_has_the_same_bytes_on_any_day(tmp_path: Path) -> None:
    first = publish(tmp_path / "a", "zip")
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist() == ["image_00001.jpg", "image_00002.jpg", "image_00003.jpg"]
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert publish(tmp_path / "b", "zip").read_bytes() == first.read_bytes()


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    path = publish(tmp_path, "zip")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="does not give its 3 frames"):
        frame_store.read_frames(path, "zip", 3)
