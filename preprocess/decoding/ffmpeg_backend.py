"""Decoding with an ffmpeg program, for codecs and accelerated decoders that PyAV's libraries lack."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import ffmpeg
import numpy as np

from preprocess.common.errors import InputError
from preprocess.decoding.types import DecodeError, OpenVideo, Picture, Progress, VideoInfo
from preprocess.frame_selection import Selection, selected_indices

FLAGS = "bicubic+accurate_rnd+full_chroma_int"  # swscale rounds down at each step unless it is told not to
HEADER = re.compile(rb"YUV4MPEG2 W(\d+) H(\d+) F(\d+):(\d+) ")


def find_ffmpeg() -> str:
    """The ffmpeg program on PATH, else the one that the package imageio-ffmpeg brings.

    Raises:
        InputError: there is neither.
    """
    found = shutil.which("ffmpeg")
    if found is None:
        with suppress(ImportError, RuntimeError):
            import imageio_ffmpeg

            found = imageio_ffmpeg.get_ffmpeg_exe()
    if found is None:
        raise InputError("no ffmpeg on this machine: apt-get install ffmpeg, or pip install imageio-ffmpeg")
    return found


def open_video(path: Path, short_side: int, selection: Selection) -> OpenVideo:
    """Open `path`; see `preprocess.decoding.backends.open_video`.

    What the container says is read by PyAV, which needs no decoder for that; where it cannot, those fields are empty. The
    program starts with the first picture.
    """
    info = VideoInfo(codec="", width=0, height=0, fps=0.0, declared_frames=0)
    unreadable = (av.FFmpegError, OSError, ValueError, IndexError)
    with suppress(*unreadable), av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        if codec := stream.codec_context:
            info = VideoInfo(
                codec=codec.name,
                width=codec.width,
                height=codec.height,
                fps=float(stream.average_rate or 0),
                declared_frames=stream.frames,
            )
    progress = Progress()
    return OpenVideo(info, pictures(path, short_side, selection, progress), progress)


def command_line(path: Path, short_side: int) -> list[str]:
    """An ffmpeg that decodes, turns, scales and sends full-range BT.601 planes in yuv4mpeg form, every frame just once."""
    video = ffmpeg.input(str(path), threads=1).video
    if short_side:
        keeps = f"lte(min(iw,ih),{short_side})"
        sides = {s: f"if({keeps},i{s},round(i{s}*{short_side}/min(iw,ih)))" for s in "wh"}
        video = video.filter("scale", **sides)
    video = video.filter("scale", out_range="full", out_color_matrix="bt601", flags=FLAGS)
    output = {"format": "yuv4mpegpipe", "pix_fmt": "yuvj420p", "strict": -1, "fps_mode": "passthrough"}
    command: list[str] = video.output("pipe:", loglevel="error", **output).compile(cmd=find_ffmpeg())
    return command


def pictures(path: Path, short_side: int, selection: Selection, progress: Progress) -> Iterator[Picture]:
    """Run the program and read planes from its pipe; ends it when done or dropped."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command_line(path, short_side), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        try:
            match = HEADER.match(process.stdout.readline())
            if match is None:
                raise DecodeError(f"cannot be opened: {stderr_tail(process, errors) or 'it gives no picture'}")
            width, height, numerator, denominator = map(int, match.groups())
            indices = selected_indices(selection, Fraction(numerator, denominator or 1))
            index = next(indices, None)
            while index is not None and process.stdout.readline().startswith(b"FRAME"):
                planes = read_planes(process.stdout, width, height)
                if planes is None:
                    break
                progress.frames += 1
                if progress.frames - 1 == index:
                    yield planes
                    index = next(indices, None)
            if index is not None and (said := stderr_tail(process, errors)):
                raise DecodeError(f"decoding broke off after {progress.frames} frames: {said}")
            progress.at_end = index is not None
        except ValueError as error:
            raise DecodeError(str(error)) from None
        finally:
            process.kill()


def read_planes(stream: IO[bytes], width: int, height: int) -> Picture | None:
    """The next picture of a yuv4mpeg stream at 4:2:0, or None where the stream ends within it."""
    half = (height + 1) // 2, (width + 1) // 2
    planes = []
    for rows, columns in ((height, width), half, half):
        data = stream.read(rows * columns)
        if len(data) < rows * columns:
            return None
        planes.append(np.frombuffer(data, np.uint8).reshape(rows, columns))
    y, u, v = planes
    return y, u, v


def stderr_tail(process: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    """Wait for the program, which has closed its output, and return the last line that it said, if any."""
    process.wait()
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
