"""Time a training step of ResNet3D in MindSpore against one in PyTorch, in turn, on this machine's CPU.

    python scripts/bench_step.py --json work/bench_step.json
    python scripts/bench_step.py --freeze layer4

Batch 4 of 16 x 112 x 112, SGD with momentum, depths 18 and 50. Each side runs by itself in a fresh process, the two take
turns, and the median of all steps but each process's first counts. The networks have the same blocks, and that they have as
many parameters is checked. PyTorch is used here alone and is not among the project's dependencies.

With --freeze the second side is not PyTorch but the same step with the stages before that one frozen.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from preprocess.common import cli
from preprocess.common.errors import InputError
from scripts.benchmarking import alone, report
from train.config import DEFAULT_RECIPE, load_recipe

CLASSES = 101
# depth -> (bottleneck blocks?, blocks in each stage)
BLOCKS = {18: (False, (2, 2, 2, 2)), 50: (True, (3, 4, 6, 3))}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time a training step of ResNet3D in MindSpore against one in PyTorch, in turn."""

    depths: tuple[int, ...] = tuple(BLOCKS)
    """Which ResNet3D: 18, 50 or both."""
    freeze: str | None = None
    """Compare with the same step frozen before this stage, such as layer4, not with PyTorch."""
    repeats: int = 3
    """How often each side runs, in turn."""
    steps: int = 4
    """Steps of each run that count, after one that does not."""
    batch_size: int = 4
    """Clips a step."""
    json: Path | None = None
    """Write the figures here too, with machine, versions, commit and date."""


@dataclass(frozen=True)
class Steps:
    """One run: the time of each step but the first, and the size of the network."""

    seconds: list[float]
    parameters: int


def main(options: Options) -> int:
    for depth in options.depths:
        if depth not in BLOCKS:
            raise InputError(f"--depths {depth} is not known here: choose of {', '.join(map(str, BLOCKS))}")
    if options.freeze is None and importlib.util.find_spec("torch") is None:
        raise InputError(
            "PyTorch is not installed, and this comparison alone needs it: install torch into a folder of its own "
            "(pip install --target FOLDER torch) and put that on PYTHONPATH, or compare with --freeze layer4"
        )
    clip = load_recipe(DEFAULT_RECIPE).clip
    result: dict[str, Any] = {"depths": list(options.depths), "freeze": options.freeze}
    result |= {"clip_frames": clip.frames, "clip_size": clip.size}
    for depth in options.depths:
        other: Callable[..., Steps] = in_pytorch if options.freeze is None else in_mindspore
        runs: tuple[list[Steps], list[Steps]] = ([], [])
        for _ in range(options.repeats):
            runs[0].append(alone(in_mindspore, options, depth, None))
            runs[1].append(alone(other, options, depth, options.freeze))
        if runs[0][0].parameters != runs[1][0].parameters:
            raise RuntimeError(f"the networks differ: {runs[0][0].parameters} and {runs[1][0].parameters} parameters")
        ours, theirs = (median(s for run in side for s in run.seconds) for side in runs)
        name = "pytorch" if options.freeze is None else f"frozen_before_{options.freeze}"
        result |= {f"r3d{depth}_mindspore_s": ours, f"r3d{depth}_{name}_s": theirs}
        ratio = ours / theirs if options.freeze is None else theirs / ours
        result[f"r3d{depth}_{'ours_over_pytorch' if options.freeze is None else 'frozen_over_full'}"] = ratio
        result[f"r3d{depth}_parameters"] = runs[0][0].parameters
    result |= {"batch_size": options.batch_size, "steps": options.steps, "repeats": options.repeats}
    report("step", result, options.json, *(["torch"] if options.freeze is None else []))
    return 0


def batch(options: Options) -> tuple[Any, Any]:
    """uint8 clip_NTHWC and int32 label_N, the same for both sides."""
    rng = np.random.default_rng(0)
    clip = load_recipe(DEFAULT_RECIPE).clip
    clip_NTHWC = rng.integers(0, 256, (options.batch_size, clip.frames, clip.size, clip.size, 3), np.uint8)
    return clip_NTHWC, rng.integers(0, CLASSES, options.batch_size).astype(np.int32)


def timed(step: Callable[[], Any], steps: int) -> list[float]:
    """Seconds of each step after a first one."""
    step()
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds


def in_mindspore(options: Options, depth: int, freeze_until: str | None) -> Steps:
    """The step as training uses it, in graph mode."""
    import mindspore as ms

    from train import devices
    from train.models import build_model
    from train.step import new_step

    recipe = replace(load_recipe(DEFAULT_RECIPE), batch_size=options.batch_size, freeze_until=freeze_until)
    devices.use("CPU", recipe.seed)
    with devices.work_aside():
        network = build_model("resnet3d", num_classes=CLASSES, depth=depth)
        parameters = sum(p.size for p in network.trainable_params())
        step = new_step(network, recipe, options.steps + 1)
        inputs = [ms.Tensor(array) for array in (*batch(options), np.ones(options.batch_size, np.float32))]
        return Steps(timed(lambda: step(*inputs).asnumpy(), options.steps), parameters)


def in_pytorch(options: Options, depth: int, _: None) -> Steps:
    """The same step in PyTorch."""
    torch: Any = importlib.import_module("torch")
    recipe = load_recipe(DEFAULT_RECIPE)
    network = pytorch_network(torch, depth).train()
    optimizer = torch.optim.SGD(
        network.parameters(),
        recipe.schedule.learning_rate,
        recipe.optimizer.momentum,
        weight_decay=recipe.optimizer.weight_decay,
    )
    clip_NTHWC, label_N = (torch.from_numpy(array) for array in batch(options))
    mean, std = (torch.tensor(value).view(1, 3, 1, 1, 1) for value in (recipe.clip.mean, recipe.clip.std))

    def step() -> float:
        clip_NCTHW = (clip_NTHWC.permute(0, 4, 1, 2, 3).float() / 255 - mean) / std
        loss = torch.nn.functional.cross_entropy(network(clip_NCTHW.contiguous()), label_N.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return Steps(timed(step, options.steps), sum(p.numel() for p in network.parameters()))


def pytorch_network(torch: Any, depth: int) -> Any:
    """train/models/resnet3d.py in PyTorch, at width 1 with shortcut B."""
    nn = torch.nn
    bottleneck, blocks = BLOCKS[depth]

    def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> list[Any]:
        layer = nn.Conv3d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        return [layer, nn.BatchNorm3d(channels_out)]

    class Block(nn.Module):  # type: ignore[name-defined]
        def __init__(self, channels_in: int, channels: int, stride: int) -> None:
            super().__init__()
            if bottleneck:
                layers = [*conv(channels_in, channels, 1), nn.ReLU(True), *conv(channels, channels, 3, stride)]
                layers += [nn.ReLU(True), *conv(channels, 4 * channels, 1)]
            else:
                layers = [*conv(channels_in, channels, 3, stride), nn.ReLU(True), *conv(channels, channels, 3)]
            channels_out = 4 * channels if bottleneck else channels
            same = stride == 1 and channels_in == channels_out
            self.body = nn.Sequential(*layers)
            self.shortcut = nn.Identity() if same else nn.Sequential(*conv(channels_in, channels_out, 1, stride))

        def forward(self, x: Any) -> Any:
            return torch.relu(self.body(x) + self.shortcut(x))

    layers = [nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False), nn.BatchNorm3d(64), nn.ReLU(True), nn.MaxPool3d(3, 2, 1)]
    channels_in = 64
    for stage, count in enumerate(blocks):
        for i in range(count):
            layers.append(Block(channels_in, 64 * 2**stage, 2 if stage and i == 0 else 1))
            channels_in = 64 * 2**stage * (4 if bottleneck else 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(channels_in, CLASSES))


if __name__ == "__main__":
    cli.run(main, Options)
