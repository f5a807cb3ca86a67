"""What is done in a video: classes and scores for video files, folders of them, or a camera.

python eval/predict.py clip.avi folder --checkpoint work/runs/mine/last.ckpt --top-k 5
python eval/predict.py clip.avi --checkpoint work/runs/mine/last.ckpt --overlay out.mp4
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Annotated, Any

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import av
import cv2
import numpy as np
import tyro
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from eval import video_drawing, video_windows
from eval.report.results import best_classes
from preprocess import jpeg
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.decoding.pyav_backend import picture
from preprocess.decoding.types import DecodeError
from preprocess.frame_selection import Selection, selected_indices
from preprocess.frame_settings import FrameSettings
from train import checkpoint, devices
from train.checkpoint import CheckpointMetadata
from train.config import ClipConfig
from train.scoring import Scorer, score_windows

SOME_FAILED = 1  # exit code
BATCH_SIZE = 4
OVERLAY_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    """Say what is done in videos: the mean of the scores of each video's windows, without overlap, in the centre square."""

    clips: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Videos, and folders of videos."""
    checkpoint: Path = Path("last.ckpt")
    """Network, input and class names are read from it."""
    top_k: int = 5
    """Number of classes to print for each video."""
    json: Path | None = None
    """Write them here too, as {"results": {video: [{"label", "score"}]}, "failed": {video: reason}}."""
    overlay: Path | None = None
    """Write the video, one, with the prediction up to each moment drawn on it: an .mp4."""
    camera: int | None = None
    """Predict from this camera, a line a window, until Ctrl-C: 0 is /dev/video0."""


def main(options: Options) -> int:
    if options.top_k < 1:
        raise InputError(f"--top-k {options.top_k} is not 1 or more")
    if (options.camera is None) == (not options.clips):
        raise InputError("give videos or folders of videos, or --camera 0, not both")
    paths = [path.absolute() for path in video_windows.find_clips(options.clips)]
    if options.json:
        files.check_file(options.json, "--json", ".json")
    if options.overlay:
        files.check_file(options.overlay, "--overlay", ".mp4")
        if len(paths) != 1:
            raise InputError(f"--overlay takes one video, here {len(paths)}")
    capture = open_camera(options.camera) if options.camera is not None else None
    devices.use(devices.target(), seed=0)
    meta, network = checkpoint.restore(options.checkpoint)
    settings = video_windows.frame_settings_of(meta, options.checkpoint)
    scorer = Scorer(network, meta.clip)
    with devices.work_aside():
        if capture:
            follow(captured(capture, settings), scorer, meta, options.top_k)
        scores, failed = predict(paths, settings, scorer, meta.clip)
    names = dict(zip(paths, unique_names(paths), strict=True))
    results = {
        names[path]: best_classes(score_WK.mean(axis=0), meta.class_names, options.top_k)
        for path, score_WK in scores.items()
    }
    for line in table(results):
        say(line)
    if options.json:
        failures = {names[path]: reason for path, reason in failed.items()}
        files.write_json(options.json, {"results": results, "failed": failures})
    if paths and not scores:
        raise InputError(f"none of the {len(paths)} videos could be read: see above")
    if options.overlay:
        draw(paths[0], settings, scores[paths[0]], meta, options.overlay)
        say(f"overlay: {options.overlay}")
    return SOME_FAILED if failed else 0


def predict(
    paths: list[Path], settings: FrameSettings, scorer: Scorer, clip: ClipConfig
) -> tuple[dict[Path, NDArray[np.float64]], dict[Path, str]]:
    """The score_WK of each video that decodes to its end; why the others do not is printed."""
    scores, failed = {}, {}
    for path in paths:
        try:
            found = list(
                score_windows(scorer, video_windows.windows_of(video_windows.jpegs_of(path, settings), clip), BATCH_SIZE)
            )
            if not found:
                raise DecodeError("has no frame that decodes")
        except (DecodeError, OSError) as error:
            failed[path] = str(error)
            say(f"failed: {path}: {error}")
        else:
            scores[path] = np.stack(found).astype(np.float64)
    return scores, failed


def unique_names(paths: list[Path]) -> list[str]:
    """Each video's name without its suffix, as data sets call videos; its whole path where two have the same."""
    stems = [path.stem for path in paths]
    return [path.stem if stems.count(path.stem) == 1 else str(path) for path in paths]


def table(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A line a class: the video, on its first line, the class and its score."""
    rows = [
        (name if i == 0 else "", best["label"], f"{best['score']:.3f}")
        for name, listed in results.items()
        for i, best in enumerate(listed)
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"{name:<{widths[0]}}  {label:<{widths[1]}}  {score}" for name, label, score in rows]


def draw(path: Path, settings: FrameSettings, score_WK: NDArray[np.float64], meta: CheckpointMetadata, out: Path) -> None:
    """Write the video with the mean of the scores so far on each frame: of all windows up to the frame's own."""
    so_far_WK = np.cumsum(score_WK, axis=0) / np.arange(1, len(score_WK) + 1)[:, None]
    span = meta.clip.frames * meta.clip.stride

    def frames() -> Iterator[NDArray[np.uint8]]:
        for i, frame in enumerate(video_windows.jpegs_of(path, settings)):
            best = best_classes(so_far_WK[i // span], meta.class_names, OVERLAY_LINES)
            yield video_drawing.written(video_drawing.pixels(frame), [f"{one['score']:.2f}  {one['label']}" for one in best])

    video_drawing.write_mp4(out, video_windows.stored_fps(path, settings), frames())


def open_camera(number: int) -> cv2.VideoCapture:
    """A camera.

    Raises:
        InputError: there is none of that number.
    """
    if not Path(f"/dev/video{number}").exists():
        raise InputError(f"--camera {number}: there is no /dev/video{number}")
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise InputError(f"--camera {number}: /dev/video{number} cannot be opened: is another program using it?")
    return capture


def captured(capture: cv2.VideoCapture, settings: FrameSettings) -> Iterator[bytes]:
    """A camera's frames, until it stops, as those of videos are stored; --max-frames does not end a camera."""
    rate = Fraction(capture.get(cv2.CAP_PROP_FPS)).limit_denominator(1000)
    thins = settings.fps and rate > 0
    indices = selected_indices(Selection(settings.fps if thins else 0.0), rate)
    reformatter = VideoReformatter()
    wanted = next(indices)
    for index in count():
        there, frame_HWC = capture.read()
        if not there:
            return
        if index == wanted:
            frame = av.VideoFrame.from_ndarray(np.asarray(frame_HWC, np.uint8), format="bgr24")
            yield jpeg.encode(picture(frame, settings.short_side, reformatter), settings.quality)
            wanted = next(indices)


def follow(frames: Iterator[bytes], scorer: Scorer, meta: CheckpointMetadata, top_k: int) -> None:
    """Print what each window of a camera shows, as it comes."""
    for score_K in score_windows(scorer, video_windows.windows_of(frames, meta.clip), 1):
        best = best_classes(score_K.astype(np.float64), meta.class_names, top_k)
        say("  ".join(f"{one['label']} {one['score']:.2f}" for one in best))


if __name__ == "__main__":
    cli.run(main, Options)
