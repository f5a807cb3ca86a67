"""What a host needs to feed its NPUs, from what scripts/bench_stream.py measured.

python scripts/bench_stream.py --json work/bench_stream.json
python scripts/plan_host.py --npus 8 --clips-per-s 1000

python scripts/bench_stream.py --kind image --records work/imagenet --json work/bench_images.json
python scripts/plan_host.py --measured work/bench_images.json --images-per-s 3886 17356
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from preprocess.common import cli, files
from preprocess.common.errors import InputError
from train.cluster import CORES_PER_NPU, QUEUED_BATCHES

NEEDED = ("ours_cpu_ms_per_clip", "gil_held", "bytes_read_per_clip", "bytes_on_disk_per_clip", "bytes_sent_per_clip")
NEEDED_IMAGES = (
    "ours_cpu_ms_per_image",
    "ours_cpu_ms_per_image_autoaugment",
    "bytes_read_per_image",
    "bytes_sent_per_image",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a host needs to feed its NPUs, from what scripts/bench_stream.py measured."""

    measured: Path = Path("work/bench_stream.json")
    """What bench_stream.py wrote with --json, on a core like the host's."""
    npus: int = 8
    """NPUs of the host."""
    clips_per_s: float = 1000.0
    """Clips a second that each NPU takes."""
    batch_size: int = 128
    """Clips a step on each NPU."""
    videos: int = 9537
    """Training videos of the data set; UCF101's split 1 has 9537."""
    images_per_s: tuple[float, ...] = (3886.0, 17356.0)
    """Where images were measured: images a second that all NPUs take together. The published GloRe-ResNet-50 takes 3886 on 8
    Ascend 910, ResNet-50 17356."""


def main(options: Options) -> int:
    measured = files.read_json(options.measured) if options.measured.is_file() else {}
    needed = NEEDED_IMAGES if measured.get("kind") == "image" else NEEDED
    lacking = [name for name in needed if name not in measured]
    if lacking:
        raise InputError(f"--measured {options.measured} has no {lacking[0]}: write it with scripts/bench_stream.py --json")
    if min(options.npus, options.clips_per_s, options.batch_size, options.videos, *options.images_per_s) <= 0:
        raise InputError("--npus, --clips-per-s, --batch-size, --videos and --images-per-s are above 0")
    for line in plan_images(options, measured) if measured.get("kind") == "image" else plan(options, measured):
        print(line)
    return 0


def plan_images(options: Options, measured: dict[str, float]) -> list[str]:
    """The figures for images and what they assume, as lines."""
    plain, augmented = measured["ours_cpu_ms_per_image"], measured["ours_cpu_ms_per_image_autoaugment"]
    lines = []
    for rate in options.images_per_s:
        lines += [
            f"{rate:g} images/s over {options.npus} NPUs",
            f"cores      {rate * plain / 1e3:.1f} without AutoAugment, {rate * augmented / 1e3:.1f} with it",
            f"disk read  {rate * measured['bytes_read_per_image'] / 1e9:.2f} GB/s, if nothing is cached",
            f"PCIe       {rate * measured['bytes_sent_per_image'] / 1e9:.2f} GB/s to all NPUs",
        ]
    queued_bytes = options.npus * QUEUED_BATCHES * options.batch_size * measured["bytes_sent_per_image"]
    return [
        *lines,
        f"memory     {queued_bytes / 1e9:.1f} GB of batches in the queues",
        "It is assumed that",
        f"- the host's cores are as fast as that measured ({plain:.2f} CPU-ms an image, {augmented:.2f} with AutoAugment)",
        f"- MindData holds {QUEUED_BATCHES} batches of {options.batch_size} images ready for each NPU",
        f"- images are as large as those measured ({measured['bytes_read_per_image'] / 1e3:.0f} kB each)",
        "Nothing of this has been seen on an Ascend.",
    ]


def plan(options: Options, measured: dict[str, float]) -> list[str]:
    """The figures and what they assume, as lines."""
    clips_per_s = options.npus * options.clips_per_s
    cores_per_npu = options.clips_per_s * measured["ours_cpu_ms_per_clip"] / 1e3
    read_bytes_s = clips_per_s * measured["bytes_read_per_clip"]
    sent_bytes_s = clips_per_s * measured["bytes_sent_per_clip"]
    queued_bytes = options.npus * QUEUED_BATCHES * options.batch_size * measured["bytes_sent_per_clip"]
    records_bytes = options.videos * measured["bytes_on_disk_per_clip"]
    kept = "kept" if cores_per_npu <= CORES_PER_NPU else "missed"
    cpu_ms, cached_gb = measured["ours_cpu_ms_per_clip"], records_bytes / 1e9
    return [
        f"{options.npus} NPUs x {options.clips_per_s:g} clips/s = {clips_per_s:g} clips/s",
        f"cores      {options.npus * cores_per_npu:.1f} ({cores_per_npu:.1f} an NPU; the target {CORES_PER_NPU} is {kept})",
        f"memory     {queued_bytes / 1e9:.1f} GB of batches in the queues, {cached_gb:.1f} GB to cache the records",
        f"disk read  {read_bytes_s / 1e9:.2f} GB/s, if nothing is cached",
        f"PCIe       {sent_bytes_s / 1e9:.2f} GB/s to all NPUs, {sent_bytes_s / options.npus / 1e9:.2f} to each",
        "It is assumed that",
        f"- the host's cores are as fast as the one measured ({cpu_ms:.2f} CPU-ms a clip), and as free",
        f"- each NPU has its own process, whose threads share a GIL: one holds it {measured['gil_held']:.0%} of its time,",
        "  and what many do to each other is not measured; --loader processes is for hosts where they wait for it",
        f"- MindData holds {QUEUED_BATCHES} batches of {options.batch_size} clips ready for each NPU",
        f"- {options.videos} videos are as long as those measured ({measured['bytes_on_disk_per_clip'] / 1e6:.2f} MB each)",
        f"- a clip reads {measured['bytes_read_per_clip'] / 1e3:.0f} kB from some place in a shard, and is sent as bytes",
        "Nothing of this has been seen on an Ascend.",
    ]


if __name__ == "__main__":
    cli.run(main, Options)
