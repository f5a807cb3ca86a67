from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mindspore.mindrecord import FileWriter

from mindrecord import schema
from mindrecord.row_reader import read_rows
from mindrecord.shard_reader import read_frames, unpack, videos_of
from preprocess.common.errors import InputError


def write(path: Path, rows: list[tuple[str, int, int, list[bytes]]]) -> None:
    """A shard of rows (video_id, first_frame, video_frames, frames), by MindSpore's own writer."""
    writer = FileWriter(str(path), shard_num=1)
    writer.add_schema(schema.FIELDS, "test")
    for video_id, first_frame, video_frames, frames in rows:
        row = {
            "class_name": "Alpha",
            "video_id": video_id,
            "label": 3,
            "group": "film",
            "flags": np.array([1, 2, 0], np.int32),
            "fps": 25.0,
        }
        row |= {"first_frame": first_frame, "video_frames": video_frames}
        row |= {"offsets": np.cumsum([0, *map(len, frames)], dtype=np.int64), "jpegs": b"".join(frames)}
        writer.write_raw_data([row])
    writer.commit()


def frames_of(count: int, size_bytes: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [rng.bytes(int(rng.integers(1, size_bytes))) for _ in range(count)]


@pytest.mark.parametrize("size_bytes", [3, 300, 9000])  # offsets one, two and four bytes wide
def test_frames_come_out_as_they_were_packed(tmp_path: Path, size_bytes: int) -> None:
    videos = {f"v {i}'\"ü;%": frames_of(count, size_bytes, i) for i, count in enumerate((1, 4, 5, 60))}
    path = tmp_path / "a b#%.mindrecord"
    write(path, [(name, 0, len(frames), frames) for name, frames in videos.items()])
    found = videos_of(path)
    assert [(video.class_name, video.video_id, video.label, video.frames) for video in found] == [
        ("Alpha", name, 3, len(frames)) for name, frames in videos.items()
    ]
    for video, frames in zip(found, videos.values(), strict=True):
        for wanted in (np.arange(len(frames)), np.array([len(frames) - 1]), np.arange(0, len(frames), 3)):
            assert [bytes(jpeg) for jpeg in read_frames(video, wanted)] == [frames[i] for i in wanted]


def test_a_video_in_segments_is_read_across_their_borders(tmp_path: Path) -> None:
    frames, other = frames_of(40, 500, 0), frames_of(3, 500, 1)
    path = tmp_path / "x.mindrecord"
    write(path, [("long", start, 40, frames[start : start + 16]) for start in (0, 16, 32)] + [("short", 0, 3, other)])
    long, short = videos_of(path)
    assert [row.first_frame for row in long.rows] == [0, 16, 32]
    for wanted in (np.arange(10, 26), np.array([0, 15, 16, 39]), np.arange(33, 40), np.arange(40)):
        assert [bytes(jpeg) for jpeg in read_frames(long, wanted)] == [frames[i] for i in wanted]
    assert [bytes(jpeg) for jpeg in read_frames(short, np.arange(3))] == other


def test_all_rows_of_a_packed_data_set_give_the_bytes_that_mindspore_reads(records: Path) -> None:
    paths = sorted(records.glob("*.mindrecord"))
    assert paths
    for path in paths:
        for video, row in zip(videos_of(path), read_rows(path), strict=True):
            assert (video.class_name, video.video_id, video.label) == (row["class_name"], row["video_id"], row["label"])
            assert b"".join(read_frames(video, np.arange(video.frames))) == row["jpegs"]


def test_packed_integers_of_every_width() -> None:
    packed = (
        b"\0\0\0\5" + bytes([0b00011011, 0b00000000]) + b"\x05" + b"\x34\x12" + b"\1\0\0\1" + b"\0\0\0\0\1\0\0\0" + b"\x07"
    )
    assert unpack(packed, 0, 4) == [5, 0x1234, 0x01000001, 1 << 32, 7]
    assert unpack(packed, 2, 3) == [0x01000001, 1 << 32]


def test_a_file_of_another_layout_is_refused_by_name(records: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.mindrecord"
    path.write_bytes(next(records.glob("*.mindrecord")).read_bytes().replace(b'"version":"3.0"', b'"version":"4.0"', 1))
    with pytest.raises(InputError, match=r"old\.mindrecord is not laid out as MindRecord 3\.0: pack the frames again"):
        videos_of(path)


def test_a_damaged_header_or_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.mindrecord"
    write(path, [("v", 0, 4, frames_of(4, 300, 0))])
    index, data = tmp_path / "x.mindrecord.db", path.read_bytes()
    path.write_bytes(data[:20] + b"\xff" + data[21:])
    with pytest.raises(InputError, match=r"x\.mindrecord or its index is damaged"):
        videos_of(path)
    path.write_bytes(data)
    index.write_bytes(b"x" * index.stat().st_size)
    with pytest.raises(InputError, match=r"x\.mindrecord or its index is damaged"):
        videos_of(path)


def test_a_row_whose_fields_do_not_fill_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mindrecord"
    write(path, [("v", 0, 4, frames_of(4, 300, 0))])
    (video,) = videos_of(path)
    data = bytearray(path.read_bytes())
    data[video.rows[0].start + 15] ^= 1  # the last byte of the length of its first field
    path.write_bytes(data)
    with pytest.raises(InputError, match="copy the records folder again"):
        read_frames(video, np.arange(4))
