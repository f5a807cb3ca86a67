"""A checkpoint to a model that other software runs, and a comparison of the two on real clips.

python eval/export.py --checkpoint work/runs/mine/last.ckpt --format onnx --out model.onnx
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from numpy.typing import NDArray

from eval import video_windows
from mindrecord import manifest
from mindrecord.manifest import Manifest
from mindrecord.shard_reader import videos_of_split
from preprocess.catalog import TEST
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train import checkpoint, devices, evaluation_windows
from train.checkpoint import CheckpointMetadata

LARGEST_DIFFERENCE = 1e-4  # relative to the greatest logit
CLIPS = 4
INPUT = "clip_NCTHW"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Export a network and compare what the exported one says of real clips."""

    checkpoint: Path
    """The checkpoint to export."""
    out: Path
    """The file to write; next to it a .json says what goes in and what comes out."""
    format: Literal["mindir", "onnx"] = "onnx"
    """mindir for MindSpore and MindSpore Lite, onnx for others; onnx needs the package onnxruntime."""
    records: Path = Path("work/records")
    """Records whose test videos, of the checkpoint's split, the clips are taken from."""
    batch_size: int = 1
    """Clips that the exported model takes at once."""


def main(options: Options) -> int:
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size} is not 1 or more")
    files.check_file(options.out, "--out", f".{options.format}")
    if options.format == "onnx" and importlib.util.find_spec("onnxruntime") is None:
        raise InputError("--format onnx needs onnxruntime: pip install onnxruntime, see requirements-extra.in")
    records, out = options.records.resolve(), options.out.resolve()
    devices.use("CPU", seed=0)  # in float32, which Ascend does not take
    meta, network = checkpoint.restore(options.checkpoint)
    packed = manifest.load(records)
    video_windows.print_other_frames(meta, options.checkpoint, packed, options.records)
    batches = real_batches(records, packed, meta, options.batch_size)
    network.set_train(False)
    if options.format == "onnx":
        pad_apart(network)
    with devices.work_aside(out.parent) as scratch:
        partial = scratch / f"model.{options.format}"
        ms.export(network, ms.Tensor(batches[0]), file_name=str(partial), file_format=options.format.upper())
        expected = np.concatenate([network(ms.Tensor(batch)).asnumpy() for batch in batches])
        found = np.concatenate(run_exported(partial, batches))
        difference = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not difference <= LARGEST_DIFFERENCE:  # also when it is NaN
            raise InputError(
                f"the exported model's logits differ from the network's by {difference:.1e} of the greatest, more than "
                f"{LARGEST_DIFFERENCE:g}: {options.out} is not written"
            )
        files.apply_umask(partial)
        partial.replace(out)
    files.write_json(out.with_suffix(".json"), description(meta, options, difference, len(expected)))
    say(f"{options.out}: logits of {len(expected)} clips differ by at most {difference:.1e} of the greatest")
    return 0


class ExplicitPad(nn.Cell):
    """A convolution or pooling whose padding with zeros is an operation of its own; `pads` is before and after each axis."""

    def __init__(self, pads: Sequence[int], unpadded: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.pad = ops.Pad(((0, 0), (0, 0), *zip(pads[::2], pads[1::2], strict=True)))
        self.unpadded = unpadded

    def construct(self, x_NCTHW: ms.Tensor) -> ms.Tensor:
        return self.unpadded(self.pad(x_NCTHW))


def pad_apart(network: nn.Cell) -> None:
    """Take the padding out of what MindSpore 2.10 writes wrongly into ONNX, where `Pad` comes out right.

    The six numbers of a convolution keep their order, (before, after) of each axis, where ONNX wants all the befores first:
    a reader would pad the wrong axes. And a padded pooling becomes "same", which pads even sizes on one side only. Zeros
    serve a maximum as well as its own padding where nothing is below zero, as after ReLU; the logits tell.
    """
    for cell in [network, *(cell for _, cell in network.cells_and_names())]:
        for name, inner in list(cell.name_cells().items()):
            padded = None
            if isinstance(inner, nn.Conv3d) and len(set(inner.padding)) > 1:
                padded = ExplicitPad(inner.padding, unpadded_convolution(inner))
            elif isinstance(inner, nn.MaxPool3d) and any(inner.max_pool.pad_list):
                padded = ExplicitPad(inner.max_pool.pad_list, nn.MaxPool3d(inner.kernel_size, inner.stride))
            if padded and isinstance(cell, nn.SequentialCell):
                cell[list(cell.name_cells()).index(name)] = padded
            elif padded:
                setattr(cell, name, padded)


def unpadded_convolution(conv: nn.Conv3d) -> nn.Conv3d:
    """The same convolution, with the same weights, without its padding."""
    made = nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        "valid",
        dilation=conv.dilation,
        group=conv.group,
        has_bias=conv.has_bias,
    )
    made.weight = conv.weight
    if conv.has_bias:
        made.bias = conv.bias
    return made


def real_batches(records: Path, packed: Manifest, meta: CheckpointMetadata, batch_size: int) -> list[NDArray[np.float32]]:
    """Windows of test videos, normalised, in batches of clip_NCTHW.

    Raises:
        InputError: there are no test videos.
    """
    videos = videos_of_split(records, packed, meta.split, TEST)[:CLIPS]
    windows = [windows_WTHWC[0] for _, windows_WTHWC in evaluation_windows.whole_videos(videos, meta.clip)]
    if not windows:
        raise InputError(f"{records} has no test video of split {meta.split}: the exported model is tried on real clips")
    count = -(-len(windows) // batch_size) * batch_size
    clip_NTHWC = np.stack([windows[i % len(windows)] for i in range(count)])
    normal = (clip_NTHWC / np.float32(255) - np.array(meta.clip.mean, np.float32)) / np.array(meta.clip.std, np.float32)
    clip_NCTHW = np.ascontiguousarray(normal.transpose(0, 4, 1, 2, 3), np.float32)
    return np.split(clip_NCTHW, count // batch_size)


def run_exported(path: Path, batches: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The logits_NK of an exported model, by MindSpore for .mindir, by onnxruntime for .onnx."""
    if path.suffix == ".mindir":
        cell = nn.GraphCell(ms.load(str(path)))
        return [cell(ms.Tensor(batch)).asnumpy() for batch in batches]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: batch})[0] for batch in batches]


def description(meta: CheckpointMetadata, options: Options, difference: float, clips: int) -> dict[str, Any]:
    """What the .json next to the model says."""
    clip = meta.clip
    return {
        "input": {
            "layout": INPUT,
            "shape": [options.batch_size, 3, clip.frames, clip.size, clip.size],
            "type": "float32",
            "colours": "RGB",
            "range": "(value / 255 - mean) / std",
            "mean": list(clip.mean),
            "std": list(clip.std),
            "stride": clip.stride,
            "frame_settings": asdict(video_windows.frame_settings_of(meta, options.checkpoint)),
            "frame": f"short side scaled to {clip.test_short_side or clip.size}, centre cut",
        },
        "output": {"layout": "logits_NK", "shape": [options.batch_size, len(meta.class_names)]},
        "class_names": list(meta.class_names),
        "network": meta.model.options() | {"name": meta.model.name},
        "format": options.format,
        "checkpoint_sha256": files.sha256(options.checkpoint),
        "largest_difference": difference,
        "clips_compared": clips,
    }


if __name__ == "__main__":
    cli.run(main, Options)
