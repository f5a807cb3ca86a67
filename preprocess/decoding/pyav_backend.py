"""Decoding with PyAV, the default: FFmpeg's libraries in this process."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from preprocess.decoding.types import DecodeError, OpenVideo, Picture, Plane, Progress, VideoInfo, error_text, target_size
from preprocess.frame_selection import Selection, selected_indices

# ITU-R BT.601: limited range puts luma in 16..235 and chroma in 16..240; a JPEG uses all of 0..255
LUMA_SCALE, LUMA_SHIFT = 255 / 219, -16 * 255 / 219
CHROMA_SCALE, CHROMA_SHIFT = 255 / 224, 128 - 128 * 255 / 224 - 1e-3  # 16 would end at 0.5: down, on every processor
# ITU-T H.273, table 4: 2 is not stated, as in all older files; 5 and 6 are BT.601
BT601_CODES = (2, 5, 6)
FULL_RANGE_CODE = 2  # of FFmpeg's AVColorRange
# swscale rounds down at each step unless it is told not to, which makes RGB 1.2 grey levels too dark
ROUNDED = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
FULL_RANGE_FORMATS = ("yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p", "gray")


def open_video(path: Path, short_side: int, selection: Selection) -> OpenVideo:
    """Open `path`; see `preprocess.decoding.backends.open_video`."""
    try:
        # UCF101 and HMDB51 have metadata that is not UTF-8
        container = av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(f"cannot be opened: {error_text(error)}") from None
    if not container.streams.video:
        container.close()
        raise DecodeError("has no video stream")
    stream = container.streams.video[0]
    codec = stream.codec_context
    if codec is None:  # what PyAV's types do not say
        container.close()  # type: ignore[unreachable]
        raise DecodeError("has a video stream in a codec that is not known; --backend ffmpeg may know it")
    rate = stream.average_rate or Fraction(0)
    info = VideoInfo(
        codec=codec.name, width=codec.width, height=codec.height, fps=float(rate), declared_frames=stream.frames
    )
    progress = Progress()
    return OpenVideo(info, pictures(container, stream, short_side, selected_indices(selection, rate), progress), progress)


def pictures(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    short_side: int,
    indices: Iterator[int],
    progress: Progress,
) -> Iterator[Picture]:
    """Decode, and convert the frames whose indices are selected_indices; closes the container when done or dropped."""
    stream.codec_context.thread_count = 1  # a process a core decodes faster than threads within a clip
    cv2.setNumThreads(1)
    reformatter = VideoReformatter()  # one for all frames: a frame's own would set swscale up each time
    with container:
        try:
            index = next(indices, None)
            for number, frame in enumerate(container.decode(stream)):
                progress.frames = number + 1
                if index is None:
                    return
                if number == index:
                    yield picture(frame, short_side, reformatter)
                    index = next(indices, None)
            progress.at_end = True
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DecodeError(f"decoding broke off after {progress.frames} frames: {error_text(error)}") from None


def picture(frame: av.VideoFrame, short_side: int, reformatter: VideoReformatter) -> Picture:
    """Scale, convert and turn one frame.

    The planes of a BT.601 video, brought to 8 bits and 4:2:0 where they are not, are a JPEG's planes but for their range.
    Everything else, RGB and BT.709 among it, goes through RGB.
    """
    width, height = target_size(frame.width, frame.height, short_side)
    turns = round(frame.rotation / 90) % 4  # rotation counts degrees counter-clockwise
    if frame.format.is_rgb or frame.colorspace not in BT601_CODES:
        rgb = reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation=ROUNDED, threads=1)
        return turned(np.asarray(rgb.to_ndarray(), np.uint8), turns)
    full_range = frame.format.name in FULL_RANGE_FORMATS or frame.color_range == FULL_RANGE_CODE
    if frame.format.name not in ("yuv420p", "yuvj420p") or (width, height) != (frame.width, frame.height):
        name = "yuvj420p" if full_range else "yuv420p"  # as the source's, so that swscale leaves the range alone
        frame = reformatter.reformat(frame, width=width, height=height, format=name, interpolation=ROUNDED, threads=1)
    y, u, v = (visible(plane) for plane in frame.planes)
    if not full_range:
        y = scaled(y, LUMA_SCALE, LUMA_SHIFT)
        u, v = scaled(u, CHROMA_SCALE, CHROMA_SHIFT), scaled(v, CHROMA_SCALE, CHROMA_SHIFT)
    return turned(y, turns), turned(u, turns), turned(v, turns)


def scaled(plane: Plane, scale: float, shift: float) -> Plane:
    """`plane * scale + shift`, rounded, and clipped to 0..255: OpenCV's vectorised way, a fifth of a table's time."""
    return np.asarray(cv2.addWeighted(plane, scale, plane, 0, shift), np.uint8)


def visible(plane: av.video.plane.VideoPlane) -> Plane:
    """A plane without the padding at the end of its lines."""
    lines = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
    return np.asarray(lines).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def turned(plane: Plane, quarter_turns: int) -> Plane:
    """Turned counter-clockwise, contiguous."""
    return np.ascontiguousarray(np.rot90(plane, quarter_turns) if quarter_turns else plane)
