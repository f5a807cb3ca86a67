"""Write the quickstart's data set: real AVI files in UCF101's own layout.

    python scripts/make_shapes.py --out work/quickstart/shapes

Eight classes of motion that no single frame can tell apart. A video shows textured shapes over a textured background;
each shape has a place on the plane, an angle and a size, and its class moves exactly one of them, at a constant rate
and in one direction. Every coordinate is drawn uniformly and wraps around at its ends, so that in any one frame place,
angle and size are distributed alike in all classes, and opposite classes are each other's films run backwards. A group
is one scene (background, shapes) filmed in all eight motions: looks say nothing about the class either.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess.common import cli, files
from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.common.progress import progress, say

WIDTH, HEIGHT, FPS = 320, 240, 25
SHAPES_PER_SCENE = 4
SPRITE_SIZE = 160  # pixels
GROUPS_PER_TEST_SPLIT = 7  # as in UCF101: of 25 groups, test split 1 holds 1-7, split 2 holds 8-14, split 3 holds 15-21
MIN_RADIUS, MAX_RADIUS = 24.0, 84.0  # pixels
FRAMES = (28, 32)  # a video's length, both ends included

# class name -> (coordinate that moves, direction, least and greatest speed). Units a frame: pixels for x and y, degrees
# for the angle (growing clockwise: the picture's y axis points down), the natural logarithm of the radius for the size.
MOTIONS: dict[str, tuple[str, float, float, float]] = {
    "MoveDown": ("y", 1.0, 6.0, 10.0),
    "MoveLeft": ("x", -1.0, 6.0, 10.0),
    "MoveRight": ("x", 1.0, 6.0, 10.0),
    "MoveUp": ("y", -1.0, 6.0, 10.0),
    "SizeGrow": ("log_radius", 1.0, 0.05, 0.08),
    "SizeShrink": ("log_radius", -1.0, 0.05, 0.08),
    "TurnClockwise": ("angle", 1.0, 10.0, 16.0),
    "TurnCounterClockwise": ("angle", -1.0, 10.0, 16.0),
}
PERIODS = {"x": float(WIDTH), "y": float(HEIGHT), "angle": 360.0, "log_radius": float(np.log(MAX_RADIUS / MIN_RADIUS))}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a small data set of moving shapes as MPEG-4 AVI files in UCF101's layout (video/, split/)."""

    out: Path = Path("work/quickstart/shapes")
    """Folder to write; if it already holds this data set, nothing is done."""
    groups: int = 25
    """Scenes. Groups 1-7 are the test part of split 1, 8-14 of split 2, 15-21 of split 3."""
    clips: int = 3
    """Videos of each scene in each class."""
    seed: int = 1
    """Seed of everything that is drawn."""
    workers: int = 0
    """Processes; 0 takes every core."""


@dataclass(frozen=True)
class Scene:
    """What the videos of one group share: `background_HWC` and, for each shape, an RGBA sprite (uint8)."""

    background_HWC: NDArray[np.uint8]
    sprites: tuple[NDArray[np.uint8], ...]


def texture(rng: np.random.Generator, height: int, width: int, contrast: float) -> NDArray[np.uint8]:
    """Smooth noise of several scales, mostly of lightness, around a random colour: (height, width, 3) uint8."""
    image = np.broadcast_to(rng.uniform(100, 156, 3), (height, width, 3)).astype(np.float32)
    for cells in (3, 7, 16):
        shape = (cells, cells * width // height + 1)
        coarse = rng.normal(0, contrast, (*shape, 1)) + rng.normal(0, contrast / 3, (*shape, 3))
        image = image + cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def sprite(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A textured polygon without symmetry, on a transparent square: (160, 160, 4) uint8."""
    size = SPRITE_SIZE
    corners = int(rng.integers(5, 9))
    angles = np.sort((np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners)
    radii = rng.uniform(0.5, 1.0, corners) * (size / 2 - 2)
    points = size / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    alpha = np.zeros((size, size), np.uint8)
    cv2.fillPoly(alpha, [points.round().astype(np.int32)], (255,))
    return np.dstack([texture(rng, size, size, 45.0), alpha])


def make_scene(seed: int, group: int) -> Scene:
    """The scene of a group: a pure function of (seed, group)."""
    rng = np.random.default_rng([seed, group])
    return Scene(texture(rng, HEIGHT, WIDTH, 16.0), tuple(sprite(rng) for _ in range(SHAPES_PER_SCENE)))


def paste(
    frame_HWC: NDArray[np.uint8], sprite_HWC: NDArray[np.uint8], x: float, y: float, angle: float, radius: float
) -> None:
    """Draw a sprite centred on (x, y), in place; what leaves the frame on one side comes in on the other."""
    half = int(np.ceil(radius)) + 1
    scale = 2 * radius / sprite_HWC.shape[0]
    left, top = int(np.floor(x)) - half, int(np.floor(y)) - half
    matrix = cv2.getRotationMatrix2D((sprite_HWC.shape[1] / 2, sprite_HWC.shape[0] / 2), -angle, scale)
    matrix[:, 2] = matrix[:, 2] + (x - left - sprite_HWC.shape[1] / 2, y - top - sprite_HWC.shape[0] / 2)
    patch = cv2.warpAffine(sprite_HWC, matrix, (2 * half + 2, 2 * half + 2))
    colour, inside_shape = np.ascontiguousarray(patch[..., :3]), (patch[..., 3] > 127).view(np.uint8)
    for shift_y in (-HEIGHT, 0, HEIGHT):
        for shift_x in (-WIDTH, 0, WIDTH):
            rows = slice(max(top + shift_y, 0), min(top + shift_y + len(patch), HEIGHT))
            columns = slice(max(left + shift_x, 0), min(left + shift_x + len(patch), WIDTH))
            if rows.start < rows.stop and columns.start < columns.stop:
                inside = (
                    slice(rows.start - top - shift_y, rows.stop - top - shift_y),
                    slice(columns.start - left - shift_x, columns.stop - left - shift_x),
                )
                below = frame_HWC[rows, columns]
                frame_HWC[rows, columns] = cv2.copyTo(colour[inside], inside_shape[inside], below)


def render(seed: int, scene: Scene, class_name: str, group: int, clip: int) -> list[NDArray[np.uint8]]:
    """The RGB frames of one video, (240, 320, 3) uint8: a pure function of (seed, class, group, clip)."""
    rng = np.random.default_rng([seed, group, clip, 1 + list(MOTIONS).index(class_name)])
    moving, direction, slowest, fastest = MOTIONS[class_name]
    start = {name: rng.uniform(0, period, SHAPES_PER_SCENE) for name, period in PERIODS.items()}
    speed = direction * rng.uniform(slowest, fastest, SHAPES_PER_SCENE)
    frames = []
    for t in range(int(rng.integers(FRAMES[0], FRAMES[1] + 1))):
        frame_HWC = scene.background_HWC.copy()
        now = start | {moving: (start[moving] + speed * t) % PERIODS[moving]}
        for i, image in enumerate(scene.sprites):
            paste(frame_HWC, image, now["x"][i], now["y"][i], now["angle"][i], MIN_RADIUS * np.exp(now["log_radius"][i]))
        frames.append(frame_HWC)
    return frames


def write_avi(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    """Encode RGB frames as UCF101 has them: MPEG-4 part 2 in an AVI, 25 frames a second, limited range."""
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 4
        for frame_HWC in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")))
        container.mux(stream.encode())


def write_group(root: Path, seed: int, group: int, clips: int) -> int:
    """Write the videos of one scene, all classes; returns how many."""
    cv2.setNumThreads(1)  # the processes share the cores already
    scene = make_scene(seed, group)
    for class_name in MOTIONS:
        for clip in range(1, clips + 1):
            path = root / "video" / class_name / video_name(class_name, group, clip)
            write_avi(path, render(seed, scene, class_name, group, clip))
    return len(MOTIONS) * clips


def video_name(class_name: str, group: int, clip: int) -> str:
    return f"v_{class_name}_g{group:02d}_c{clip:02d}.avi"


def write_lists(folder: Path, groups: int, clips: int) -> None:
    """classInd.txt and the three pairs of lists; CR LF, train lines with a label and test lines without, as UCF101."""

    def write(name: str, lines: list[str]) -> None:
        (folder / name).write_bytes("".join(line + "\r\n" for line in lines).encode())

    write("classInd.txt", [f"{i} {name}" for i, name in enumerate(MOTIONS, start=1)])
    for split in (1, 2, 3):
        held_out = range(GROUPS_PER_TEST_SPLIT * (split - 1) + 1, GROUPS_PER_TEST_SPLIT * split + 1)
        train, test = [], []
        for label, name in enumerate(MOTIONS, start=1):
            for group in range(1, groups + 1):
                for clip in range(1, clips + 1):
                    entry = f"{name}/{video_name(name, group, clip)}"
                    test.append(entry) if group in held_out else train.append(f"{entry} {label}")
        write(f"trainlist{split:02d}.txt", train)
        write(f"testlist{split:02d}.txt", test)


def main(options: Options) -> int:
    workers = worker_count(options.workers)
    least = 3 * GROUPS_PER_TEST_SPLIT
    if options.groups < least or options.clips < 1:
        raise InputError(
            f"--groups {options.groups} --clips {options.clips}: the three test lists need {least} groups "
            "or more, of one clip or more"
        )
    settings = {"groups": options.groups, "clips": options.clips, "seed": options.seed, "version": 1}
    marker = options.out / "shapes.json"
    files.refuse_other_folder(options.out, marker.name, "the shapes data set")
    if marker.is_file():
        if files.read_json(marker) != settings:
            raise InputError(f"{options.out} holds shapes of other settings: choose another --out or delete it")
        say(f"{options.out} already holds these shapes; nothing to do")
        return 0
    with files.folder_by_rename(options.out) as building:
        for class_name in MOTIONS:
            (building / "video" / class_name).mkdir(parents=True)
        (building / "split").mkdir()
        write_lists(building / "split", options.groups, options.clips)
        with ProcessPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(write_group, building, options.seed, group, options.clips)
                for group in range(1, options.groups + 1)
            ]
            written = sum(job.result() for job in progress(jobs, "scenes"))
        files.write_json(building / marker.name, settings)
    say(f"wrote {written} videos of {len(MOTIONS)} classes to {options.out}")
    return 0


if __name__ == "__main__":
    cli.run(main, Options)
