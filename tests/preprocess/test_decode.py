"""One contract for both decoding backends."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
from conftest import make_video

from preprocess import jpeg
from preprocess.common.errors import InputError
from preprocess.decoding.backends import check_name, open_video
from preprocess.decoding.ffmpeg_backend import find_ffmpeg
from preprocess.decoding.riff import missing_bytes
from preprocess.decoding.types import DecodeError, target_size
from preprocess.frame_selection import Selection

try:
    find_ffmpeg()
    NO_FFMPEG = ""
except InputError as error:
    NO_FFMPEG = str(error)

BACKENDS = ["pyav", pytest.param("ffmpeg", marks=pytest.mark.skipif(bool(NO_FFMPEG), reason=NO_FFMPEG))]
ALL = Selection()
backends = pytest.mark.parametrize("backend", BACKENDS)


def decode(path: Path, backend: str, short_side: int = 0, selection: Selection = ALL) -> np.ndarray:
    """All selected pictures as RGB, through JPEGs of the best quality: (T, H, W, 3)."""
    video = open_video(path, short_side, selection, backend)
    return np.stack([simplejpeg.decode_jpeg(jpeg.encode(p, 100), colorspace="RGB") for p in video.pictures])


def write(path: Path, clip: np.ndarray, codec: str, pix_fmt: str, **options: str) -> None:
    """Encode RGB frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], pix_fmt
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pix_fmt)))
        container.mux(stream.encode())


def bars(frames: int, height: int, width: int) -> np.ndarray:
    """Grey steps from black to white, brighter frame by frame, with a red corner at the top left."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[:] = np.linspace(0, 235, width)[None, None, :, None]
    clip += (np.arange(frames) * 2).astype(np.uint8)[:, None, None, None]
    clip[:, : height // 3, : width // 3] = (200, 30, 30)
    return clip


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


@backends
def test_frames_come_out_in_order_with_full_range_brightness(tmp_path: Path, backend: str) -> None:
    clip = make_video(tmp_path / "a.avi", frames=12)
    video = open_video(tmp_path / "a.avi", 0, Selection(), backend)
    assert (video.info.codec, video.info.width, video.info.height, video.info.fps) == ("mpeg4", 64, 48, 25.0)
    decoded = decode(tmp_path / "a.avi", backend)
    assert decoded.shape == clip.shape
    assert abs(decoded.mean() - clip.mean()) < 2  # limited range taken for full would shift it by about 10
    for t in range(12):  # the square is where it was drawn: frames are neither lost nor out of order
        left = 2 * t % 52
        assert decoded[t, 12:20, left + 2 : left + 10].min() > 190


@backends
@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name", "tolerance"),
    [
        ("mpeg4", "yuv420p", "a.avi", 4),
        ("mjpeg", "yuvj420p", "a.avi", 4),
        ("mjpeg", "yuvj422p", "a.avi", 4),
        ("libx264", "yuv420p10le", "a.mp4", 4),
        ("libx264", "yuv444p", "a.mkv", 4),
        ("rawvideo", "rgb555le", "a.avi", 6),
        ("ffv1", "gray", "a.mkv", 30),
    ],
)
def test_every_pixel_format_keeps_its_brightness(
    tmp_path: Path, backend: str, codec: str, pix_fmt: str, name: str, tolerance: float
) -> None:
    clip = bars(6, 48, 64)
    options = {"crf": "4"} if codec == "libx264" else {"qmin": "2", "qmax": "2"} if codec == "mjpeg" else {}
    write(tmp_path / name, clip, codec, pix_fmt, **options)
    decoded = decode(tmp_path / name, backend)
    assert decoded.shape == clip.shape
    right = (slice(None), slice(None), slice(24, None))
    assert np.abs(decoded[right].astype(int) - clip[right]).mean() < tolerance
    if pix_fmt != "gray":
        assert abs(decoded[right].mean() - clip[right].mean()) < (4 if "555" in pix_fmt else 2.5)  # 5 bits a colour


@backends
@pytest.mark.parametrize(("width", "height", "short_side"), [(65, 49, 0), (65, 49, 31), (50, 90, 33), (64, 48, 47)])
def test_odd_sizes_decode_whole_and_scale(tmp_path: Path, backend: str, width: int, height: int, short_side: int) -> None:
    clip = bars(3, height, width)
    write(tmp_path / "a.avi", clip, "ffv1", "yuv444p")
    decoded = decode(tmp_path / "a.avi", backend, short_side)
    expected = target_size(width, height, short_side)
    assert decoded.shape == (3, expected[1], expected[0], 3)
    assert abs(decoded.mean() - clip.mean()) < 2


@backends
def test_a_selection_takes_just_those_frames(tmp_path: Path, backend: str) -> None:
    make_video(tmp_path / "a.avi", frames=50)
    whole = decode(tmp_path / "a.avi", backend)
    for selection, indices in (
        (Selection(max_frames=7), range(7)),
        (Selection(fps=5), range(0, 50, 5)),
        (Selection(segment_s=(0.4, 0.6)), range(10, 16)),
        (Selection(segment_s=(1.8, 9.0)), range(45, 50)),
    ):
        assert (decode(tmp_path / "a.avi", backend, 0, selection) == whole[list(indices)]).all()


@backends
def test_a_segment_past_the_end_has_no_picture(tmp_path: Path, backend: str) -> None:
    make_video(tmp_path / "a.avi", frames=10)
    assert list(open_video(tmp_path / "a.avi", 0, Selection(segment_s=(5.0, 6.0)), backend).pictures) == []


def test_a_cut_avi_is_noticed_although_its_decoder_sees_nothing(tmp_path: Path) -> None:
    make_video(tmp_path / "a.avi", frames=40)
    assert missing_bytes(tmp_path / "a.avi") == 0
    whole = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    with av.open(str(tmp_path / "cut.avi")) as container:  # PyAV ends quietly, short
        assert 0 < sum(1 for _ in container.decode(video=0)) < 40
    assert missing_bytes(tmp_path / "cut.avi") == len(whole) - len(whole) // 2


@backends
@pytest.mark.parametrize("content", [b"", b"this is no video at all", b"RIFF\x04\0\0\0AVI "])
def test_files_that_are_no_video_say_so_in_one_line(tmp_path: Path, backend: str, content: bytes) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(DecodeError) as raised:
        list(open_video(tmp_path / "a.avi", 0, Selection(), backend).pictures)
    assert str(raised.value)
    assert "\n" not in str(raised.value)


@backends
def test_odd_real_files_decode_or_say_why(shared: Path, backend: str) -> None:
    found = {}
    for path in sorted((shared / "data/odd").iterdir()):
        try:
            pictures = list(open_video(path, 0, Selection(), backend).pictures)
            found[path.name] = (len(pictures), jpeg.size(pictures[0]))
        except DecodeError as error:
            found[path.name] = str(error).split()[0]
    corrupted = "decoding"
    assert found == {
        "b.mp4": (79, (528, 704)),
        "corrupted.mp4": corrupted,
        "dummy_video.avi": "cannot",
        "fp.avi": (12, (240, 320)),
        "goldeneye-vfr-drop3.mp4": (160, (544, 1280)),
        "h264_10bits.mp4": (30, (200, 200)),
        "test.avi": (55, (240, 320)),
        "unordered.mov": (4, (50, 50)),
        "video_90.mov": (3, (568, 320)),
    }


@pytest.mark.skipif(bool(NO_FFMPEG), reason=NO_FFMPEG)
def test_both_backends_give_the_same_pictures_of_real_files(shared: Path) -> None:
    paths = [shared / "data/odd/video_90.mov", shared / "data/odd/h264_10bits.mp4", shared / "data/odd/fp.avi"]
    paths += sorted((shared / "data/ucf101-mini/video/Punch").iterdir())[:2]
    for path in paths:
        ours, theirs = (decode(path, backend, 0, Selection(max_frames=12)) for backend in ("pyav", "ffmpeg"))
        assert ours.shape == theirs.shape
        assert np.abs(ours.astype(int) - theirs).mean() < 2, path.name
        assert abs(ours.mean() - theirs.mean()) < 1, path.name  # RGB555 to planes is 0.8 too dark in the program


@pytest.mark.skipif(bool(NO_FFMPEG), reason=NO_FFMPEG)
def test_dropping_a_video_early_leaves_no_ffmpeg_behind(tmp_path: Path) -> None:
    make_video(tmp_path / "a.avi", frames=60)
    pictures = open_video(tmp_path / "a.avi", 0, Selection(), "ffmpeg").pictures
    next(pictures)
    pictures.close()  # type: ignore[attr-defined]
    found = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in p.read_bytes()]
    assert found == []


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="--backend ffmpg is not known; did you mean ffmpeg"):
        check_name("ffmpg")


def test_the_rate_is_exact(tmp_path: Path) -> None:
    make_video(tmp_path / "a.avi", frames=3, fps=Fraction(30000, 1001))  # type: ignore[arg-type]
    assert abs(open_video(tmp_path / "a.avi", 0, Selection()).info.fps - 30000 / 1001) < 1e-4
