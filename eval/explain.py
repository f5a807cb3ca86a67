"""Where and when a network sees what it says: Grad-CAM over a video, as a video.

python eval/explain.py clip.avi --checkpoint work/runs/mine/last.ckpt --out cam.mp4
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import mindspore as ms
import numpy as np
import tyro
from mindspore import nn, ops
from numpy.typing import NDArray

from eval import video_drawing, video_windows
from eval.layers import check_layer
from preprocess.common import cli, files
from preprocess.common.errors import InputError, nearest
from preprocess.common.progress import say
from preprocess.decoding.types import DecodeError
from train import checkpoint, devices
from train.config import ClipConfig
from train.scoring import for_inference

HEAT_SHARE = 0.5  # of the picture where the heat is greatest


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw on a video where and when a layer's activations speak for a class (Grad-CAM, arXiv:1610.02391)."""

    clip: Annotated[Path, tyro.conf.Positional]
    """The video."""
    checkpoint: Path
    """Network, input and class names are read from it."""
    out: Path = Path("cam.mp4")
    """The video to write, an .mp4."""
    layer: str = "layer4"
    """Whose activations."""
    class_name: str | None = None
    """The class to explain; by default the one that is predicted."""


def main(options: Options) -> int:
    files.check_file(options.out, "--out", ".mp4")
    (path, *others) = video_windows.find_clips([options.clip])
    if others:
        raise InputError(f"{options.clip} holds {1 + len(others)} videos: name one")
    devices.use(devices.target(), seed=0)
    ms.set_context(mode=ms.PYNATIVE_MODE)  # a layer's output is taken on the way, which a compiled graph does not give
    meta, network = checkpoint.restore(options.checkpoint)
    if meta.model.for_images:
        raise InputError(f"{options.checkpoint} is of {meta.model.name}, which is for images: explained are clips")
    check_layer(network, options.layer)
    if options.class_name is not None and options.class_name not in meta.class_names:
        close = nearest(options.class_name, meta.class_names)
        raise InputError(f"{options.checkpoint} has no class {options.class_name!r}{close}")
    path, out = path.absolute(), options.out.absolute()
    settings = video_windows.frame_settings_of(meta, options.checkpoint)
    try:
        with devices.work_aside():
            jpegs = video_windows.jpegs_of(path, settings)
            label, score, heat_WTHW = grad_cam(network, jpegs, meta.clip, options.layer, label_of(options, meta.class_names))
        text = f"{meta.class_names[label]}  {score:.2f}"
        fps = video_windows.stored_fps(path, settings)
        frames = drawn(video_windows.jpegs_of(path, settings), heat_WTHW, meta.clip, text)
        video_drawing.write_mp4(out, fps, frames)
    except DecodeError as error:
        raise InputError(f"{path} cannot be explained: it {error}") from None
    say(f"{meta.class_names[label]} {score:.3f}, {options.layer}: {options.out}")
    return 0


def label_of(options: Options, class_names: tuple[str, ...]) -> int | None:
    """The class to explain."""
    return None if options.class_name is None else class_names.index(options.class_name)


class ActivationTap(nn.Cell):
    """A layer whose output is kept, with a parameter of zeros added to it: the parameter's gradient is the output's."""

    def __init__(self, layer: nn.Cell) -> None:
        super().__init__()
        self.layer = layer
        self.zeros: ms.Parameter | None = None
        self.seen: ms.Tensor | None = None

    def output(self) -> NDArray[np.float32]:
        """The output_CTHW of the clip that came last."""
        assert self.seen is not None
        return np.asarray(self.seen.asnumpy()[0], np.float32)

    def construct(self, x_NCTHW: ms.Tensor) -> ms.Tensor:
        self.seen = self.layer(x_NCTHW)
        return self.seen if self.zeros is None else self.seen + self.zeros


def grad_cam(
    network: nn.Cell, jpegs: Iterable[bytes], clip: ClipConfig, layer: str, label: int | None
) -> tuple[int, float, NDArray[np.float32]]:
    """(label, score, heat_WTHW): the label is the video's predicted one unless given, the score its mean softmax.

    Heat is relu of the sum over channels of activation x the gradient of the label's logit, averaged over time and place
    (arXiv:1610.02391, eq. 1 and 2), brought to the clip's size and divided by the greatest of the video: 0 to 1.
    """
    tapped = ActivationTap(getattr(network, layer))
    setattr(network, layer, tapped)
    logits_of = for_inference(network, clip)
    batches = [ms.Tensor(window[None]) for window in video_windows.windows_of(jpegs, clip)]
    if not batches:
        raise DecodeError("has no frame that decodes")
    score_K = np.mean([ops.softmax(logits_of(batch), axis=1).asnumpy()[0] for batch in batches], axis=0)
    chosen = int(score_K.argmax()) if label is None else label
    tapped.zeros = ms.Parameter(ops.zeros_like(tapped.seen), name="tap")
    gradient_of = ms.grad(lambda batch: logits_of(batch)[0, chosen], None, weights=tapped.zeros)
    maps = []
    for batch in batches:
        gradient_CTHW = gradient_of(batch).asnumpy()[0]
        weighted_CTHW = gradient_CTHW.mean(axis=(1, 2, 3), keepdims=True) * tapped.output()
        maps.append(enlarged(np.maximum(weighted_CTHW.sum(axis=0), 0), clip))
    heat_WTHW = np.stack(maps)
    return chosen, float(score_K[chosen]), heat_WTHW / max(float(heat_WTHW.max()), 1e-12)


def enlarged(map_THW: NDArray[np.float32], clip: ClipConfig) -> NDArray[np.float32]:
    """A map brought to the clip's frames and size, linearly in time and space."""
    wide = np.stack([cv2.resize(one, (clip.size, clip.size)) for one in map_THW])
    long_HT = cv2.resize(wide.reshape(len(wide), -1).T, (clip.frames, clip.size * clip.size))
    return np.ascontiguousarray(long_HT.T, np.float32).reshape(clip.frames, clip.size, clip.size)


def drawn(
    jpegs: Iterable[bytes], heat_WTHW: NDArray[np.float32], clip: ClipConfig, text: str
) -> Iterator[NDArray[np.uint8]]:
    """The video's frames with the heat on the square that the network sees; with a stride, each map stands for that many
    frames."""
    heat = heat_WTHW.reshape(-1, *heat_WTHW.shape[2:])
    for i, frame in enumerate(jpegs):
        box, frame_HWC = video_windows.square(frame, clip), video_drawing.pixels(frame).copy()
        part = frame_HWC[box.top : box.top + box.height, box.left : box.left + box.width]
        map_HW1 = cv2.resize(heat[i // clip.stride], (box.width, box.height))[:, :, None]
        hot = cv2.applyColorMap((map_HW1 * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
        part[:] = (part * (1 - HEAT_SHARE * map_HW1) + hot * HEAT_SHARE * map_HW1).astype(np.uint8)
        yield video_drawing.written(frame_HWC, [text])


if __name__ == "__main__":
    cli.run(main, Options)
