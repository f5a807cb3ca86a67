from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from conftest import make_video

from preprocess.decode import DecodeError, open_video, target_size


@pytest.mark.parametrize(
    ("width", "height", "short_side", "expected"),
    [
        (320, 240, 240, (320, 240)),
        (320, 240, 128, (171, 128)),
        (240, 320, 128, (128, 171)),
        (560, 240, 0, (560, 240)),
        (100, 80, 240, (100, 80)),
        (1000, 3, 2, (667, 2)),
    ],
)
def test_target_size_scales_the_short_side_and_never_enlarges(
    width: int, height: int, short_side: int, expected: tuple[int, int]
) -> None:
    assert target_size(width, height, short_side) == expected


def test_frames_come_out_in_order_with_full_range_brightness(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "a.avi", frames=12)
    video = open_video(tmp_path / "a.avi", 0)
    decoded = np.stack(list(video.frames))
    assert (video.info.codec, video.info.width, video.info.height, video.info.fps) == ("mpeg4", 64, 48, 25.0)
    assert decoded.shape == clip.shape
    assert abs(decoded.mean() - clip.mean()) < 1.5  # limited range taken for full would shift it by about 10
    for t in range(12):  # the square is where it was drawn: frames are neither lost nor out of order
        left = 2 * t % 52
        assert decoded[t, 12:20, left + 2 : left + 10].min() > 190


def test_a_cut_avi_is_refused_although_its_decoder_sees_nothing(tmp_path: Path) -> None:
    make_video(tmp_path / "a.avi", frames=40)
    whole = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    with av.open(str(tmp_path / "cut.avi")) as container:  # PyAV alone ends quietly, short
        assert 0 < sum(1 for _ in container.decode(video=0)) < 40
    with pytest.raises(DecodeError, match=r"cut short: its header counts on [0-9]+ bytes more"):
        open_video(tmp_path / "cut.avi", 0)


@pytest.mark.parametrize("content", [b"", b"this is no video at all", b"RIFF\x04\0\0\0AVI "])
def test_files_that_are_no_video_say_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(DecodeError):
        list(open_video(tmp_path / "a.avi", 0).frames)


def test_odd_real_files_decode_or_say_why(shared: Path) -> None:
    found = {}
    for path in sorted((shared / "data/odd").iterdir()):
        try:
            frames = list(open_video(path, 0).frames)
            found[path.name] = (len(frames), frames[0].shape[:2])
        except DecodeError as error:
            found[path.name] = str(error)[:24]
    assert found == {
        "b.mp4": (79, (528, 704)),
        "corrupted.mp4": "decoding broke off after",
        "dummy_video.avi": "cannot be opened: Invali",
        "fp.avi": (12, (240, 320)),
        "goldeneye-vfr-drop3.mp4": (160, (544, 1280)),
        "h264_10bits.mp4": (30, (200, 200)),
        "test.avi": (55, (240, 320)),
        "unordered.mov": (4, (50, 50)),
        "video_90.mov": (3, (568, 320)),
    }
