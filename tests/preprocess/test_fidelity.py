"""The pictures against ffmpeg's own, and what a worker takes of memory."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
from conftest import ROOT

from preprocess import jpeg
from preprocess.common.errors import InputError
from preprocess.decoding.backends import open_video
from preprocess.decoding.ffmpeg_backend import find_ffmpeg
from preprocess.frame_selection import Selection

FRAMES = 24
# swscale's default path rounds down at each step and comes out a grey level darker than ITU-R BT.601's formula; with
# accurate_rnd it equals the formula, and so do we
DEFAULT, ROUNDED = "bicubic", "bicubic+accurate_rnd+full_chroma_int"


def ffmpeg_rgb(path: Path, width: int, height: int, flags: str) -> np.ndarray:
    """The first frames as ffmpeg itself turns them into RGB."""
    command = [find_ffmpeg(), "-v", "error", "-nostdin", "-i", str(path), "-frames:v", str(FRAMES)]
    command += ["-fps_mode", "passthrough", "-vf", f"scale=flags={flags}"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def test_jpegs_of_quality_95_are_ffmpegs_pictures_of_real_clips(shared: Path) -> None:
    try:
        find_ffmpeg()
    except InputError as error:
        pytest.skip(str(error))
    clips = sorted((shared / "data/ucf101-mini/video").glob("*/*.avi"))[::11][:14]
    clips += sorted((shared / "data/hmdb51-mini/video").glob("*/*.avi"))[::60][:6]
    assert len(clips) == 20
    errors: dict[str, list[float]] = {ROUNDED: [], DEFAULT: []}
    shifts: dict[str, list[float]] = {ROUNDED: [], DEFAULT: []}
    for path in clips:
        video = open_video(path, 0, Selection(max_frames=FRAMES))
        ours = np.stack([simplejpeg.decode_jpeg(jpeg.encode(p, 95), colorspace="RGB") for p in video.pictures]).astype(int)
        for flags in (ROUNDED, DEFAULT):
            theirs = ffmpeg_rgb(path, video.info.width, video.info.height, flags)
            assert ours.shape == theirs.shape
            errors[flags].append(np.abs(ours - theirs).mean())
            shifts[flags].append((ours - theirs).mean())
    for flags in (ROUNDED, DEFAULT):
        print(f"\n{flags}: mean absolute error {np.mean(errors[flags]):.2f}, at most {max(errors[flags]):.2f}; ", end="")
        print(f"brightness {np.mean(shifts[flags]):+.2f}, at most {max(shifts[flags], key=abs):+.2f}", end="")
    assert max(map(abs, shifts[ROUNDED])) < 0.5  # limited range taken for full would give about 10
    assert np.mean(errors[ROUNDED]) < 2
    assert np.mean(errors[DEFAULT]) < 2
    assert 0.5 < np.mean(shifts[DEFAULT]) < 1.5  # theirs is darker, by its own rounding down


MEASURE = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from preprocess.catalog import Video
from preprocess.extract_video import Task, extract
from preprocess.frame_settings import FrameSettings
folder = Path(sys.argv[2])
video = Video(class_name="A", video_id="long", label=0, path="long.avi", flags=(1,))
where = {"path": "long.avi", "videos": folder, "frames": folder / "frames", "layout": sys.argv[3]}
entry = extract(Task(video=video, settings=FrameSettings(), before=None, **where))
peak_kb = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]  # ru_maxrss would count the parent's too
print(entry.status, entry.decoded_frames, int(peak_kb) // 1024)
"""


@pytest.mark.slow
def test_a_worker_stays_small_however_long_the_video(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "long.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = rng.integers(0, 255, (4, 48, 64, 3), np.uint8)
        pictures = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in noise]
        for picture in islice((picture for _ in range(5000) for picture in pictures), 20_000):
            picture.pts = None
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    command = [sys.executable, "-c", MEASURE, str(ROOT), str(tmp_path), "zip"]
    status, frames, peak_mb = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert (status, frames) == ("ok", "20000")
    assert int(peak_mb) < 150
