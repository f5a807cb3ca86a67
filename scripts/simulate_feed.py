"""How busy a number of NPUs would be kept, from what scripts/bench_stream.py measured: tried out small on this machine's
processors, then calculated for hosts of 8 and for 64 NPUs, with a plot.

    python scripts/bench_stream.py --json work/bench_stream.json
    python scripts/simulate_feed.py --measured work/bench_stream.json --out work/simulate_feed.svg

On this machine worker processes spend the processor time that a clip was measured to take, and ranks take a batch from them,
sleep for a step, and take the next. Their utilisation is compared with the formula that is then used for the large ones: the
share of a step's clips that the scarcest of processors, disk and PCIe delivers in a step's time. Bandwidths, and the clips a
second that an NPU takes, are assumptions, to be set to what a host has. All that is assumed is printed below the figures.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Full
from typing import Any

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from preprocess.common import cli, files
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError

NEEDED = ("ours_cpu_ms_per_clip", "bytes_read_per_clip", "bytes_on_disk_per_clip", "bytes_sent_per_clip")
DEMANDS = (0.5, 1.0, 2.0)
"""What the ranks of the trial take, as multiples of what this machine's processors deliver."""
TRIAL_BATCH = 4
TRIAL_RANKS = 2
QUEUED = 2  # batches that wait in the trial
NPUS_OF_A_HOST = 8
FPS = 25
DATASETS = {  # videos and frames
    "Kinetics-700": (650_000, 650_000 * 10 * FPS),
    "Kinetics-700 + Moments in Time": (1_650_000, (650_000 * 10 + 1_000_000 * 3) * FPS),
}
TOP = 1.2  # of the plot
MACHINES = (1, 4, 16)
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Options:
    """Say how busy a number of NPUs would be kept, and what limits them."""

    measured: Path = Path("work/bench_stream.json")
    """What bench_stream.py wrote with --json, on a core like the hosts'."""
    out: Path = Path("work/simulate_feed.svg")
    """The plot, SVG."""
    clips_per_s: float = 1000.0
    """Clips a second that each NPU takes; its step time is a batch's share of a second."""
    cores: int = 192
    """Processors of a host of 8 NPUs."""
    disk_gb_s: float = 2.0
    """What a host reads from its disks; assumed."""
    storage_gb_s: float = 10.0
    """What all hosts of 64 NPUs together read from the storage they share; assumed."""
    pcie_gb_s: float = 16.0
    """What goes from the host to each NPU; assumed."""
    memory_gb: float = 768.0
    """Memory of a host, for files that were read before; assumed."""
    extracted_per_s: float = 0.0
    """Videos a second, as long as those measured, that preprocess/extract_frames.py makes on one machine; 0 leaves the
    hours of extraction out."""
    frames_per_video: float = 186.7
    """Frames of the videos measured, on average; those of UCF101 have 186.7. Other data sets are sized by it."""
    seconds: float = 3.0
    """How long each trial on this machine is."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A number of NPUs and what feeds them, of all hosts together; a second's clips each, and bandwidths in bytes a
    second."""

    name: str
    npus: int
    cores: int
    disk: float
    clips_per_s: float

    def limits(self, options: Options, measured: dict[str, float], cores: int, kept: float = 0.0) -> dict[str, float]:
        """The share of the clips that the NPUs take that each of the resources delivers; above 1 it does not limit. `kept`
        is the share of what is read that comes from memory."""
        wanted = self.npus * self.clips_per_s
        return {
            "processors": cores / (measured["ours_cpu_ms_per_clip"] / 1e3) / wanted,
            "disk": self.disk / measured["bytes_read_per_clip"] / wanted / (1 - kept) if kept < 1 else math.inf,
            "PCIe": options.pcie_gb_s * GB / measured["bytes_sent_per_clip"] / self.clips_per_s,
        }

    def utilisation(self, options: Options, measured: dict[str, float], cores: int, kept: float = 0.0) -> float:
        """The share of the time in which the NPUs compute: what the scarcest resource delivers."""
        return min(1.0, *self.limits(options, measured, cores, kept).values())


def main(options: Options) -> int:
    measured = files.read_json(options.measured) if options.measured.is_file() else {}
    lacking = [name for name in NEEDED if name not in measured]
    if lacking:
        raise InputError(f"--measured {options.measured} has no {lacking[0]}: write it with scripts/bench_stream.py --json")
    if min(options.clips_per_s, options.cores, options.disk_gb_s, options.storage_gb_s, options.pcie_gb_s) <= 0:
        raise InputError("--clips-per-s, --cores and the bandwidths are above 0")
    if min(options.frames_per_video, options.memory_gb) <= 0 or options.extracted_per_s < 0:
        raise InputError("--frames-per-video and --memory-gb are above 0, --extracted-per-s is 0 or more")
    if options.out.suffix != ".svg" or not options.out.parent.is_dir():
        raise InputError(f"--out {options.out} is no .svg file in a folder that is there")
    trials = try_out(measured["ours_cpu_ms_per_clip"], options.seconds)
    hosts = 64 // NPUS_OF_A_HOST
    feeds = [
        Feed(
            name="8 NPUs, one host",
            npus=8,
            cores=options.cores,
            disk=options.disk_gb_s * GB,
            clips_per_s=options.clips_per_s,
        ),
        Feed(
            name=f"64 NPUs, {hosts} hosts",
            npus=64,
            cores=hosts * options.cores,
            disk=options.storage_gb_s * GB,
            clips_per_s=options.clips_per_s,
        ),
    ]
    for line in report(options, measured, trials, feeds):
        print(line)
    draw(options, measured, feeds)
    print(f"the plot: {options.out}")
    return 0


def try_out(cpu_ms: float, seconds: float, demands: tuple[float, ...] = DEMANDS) -> dict[float, float]:
    """The mean utilisation of ranks on this machine for each of these demands, measured, with a worker a processor."""
    cpus = available_cpus()
    capacity = cpus * 1e3 / cpu_ms
    context = multiprocessing.get_context("spawn")
    found = {}
    with context.Manager() as manager, ProcessPoolExecutor(cpus + TRIAL_RANKS, context) as pool:
        for demand in demands:
            queue: Any = manager.Queue(QUEUED * TRIAL_RANKS)
            stop: Any = manager.Event()
            step_s = TRIAL_BATCH * TRIAL_RANKS / (demand * capacity)
            workers = [pool.submit(work, queue, stop, TRIAL_BATCH * cpu_ms / 1e3) for _ in range(cpus)]
            ranks = [pool.submit(take, queue, step_s, seconds) for _ in range(TRIAL_RANKS)]
            found[demand] = sum(rank.result() for rank in ranks) / TRIAL_RANKS
            stop.set()
            for worker in workers:
                worker.result()
    return found


def work(queue: Any, stop: Any, cpu_s: float) -> None:
    """Deliver batch after batch, spending so much processor time on each, until `stop`."""
    while not stop.is_set():
        until = time.process_time() + cpu_s
        while time.process_time() < until:
            math.sqrt(2.0)
        while not stop.is_set():
            try:
                queue.put(True, timeout=0.1)
                break
            except Full:
                continue


def take(queue: Any, step_s: float, seconds: float) -> float:
    """Take a batch, sleep for a step, and so on; the share of the time that was slept, without the first batches."""
    for _ in range(QUEUED):
        queue.get()
    slept, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        queue.get()
        slept -= time.perf_counter()
        time.sleep(step_s)
        slept += time.perf_counter()
    return slept / (time.perf_counter() - began)


def report(options: Options, measured: dict[str, float], trials: dict[float, float], feeds: list[Feed]) -> list[str]:
    """All figures and what they assume, as lines."""
    cpu_ms = measured["ours_cpu_ms_per_clip"]
    found = [
        f"Tried on {available_cpus()} processors here, {TRIAL_RANKS} ranks, {cpu_ms:.2f} ms a clip; what other processes "
        "take is missing to the calculated share:"
    ]
    for demand, utilisation in trials.items():
        expected = min(1, 1 / demand)
        found.append(
            f"  ranks that take {demand:g} times what is delivered: busy {utilisation:.0%}, calculated {expected:.0%}"
        )
    found.append("Calculated:")
    for feed in feeds:
        limits = feed.limits(options, measured, feed.cores)
        scarcest = min(limits, key=lambda name: limits[name])
        needed = math.ceil(feed.cores / limits["processors"])
        shares = ", ".join(f"{share:.3g} times the {name}" for name, share in limits.items())
        found.append(f"  {feed.name}: busy {feed.utilisation(options, measured, feed.cores):.0%} with {feed.cores} cores")
        found.append(f"    there is {shares} that they take; {scarcest} would limit first; {needed} cores suffice for all")
    for name, (clips, frames) in DATASETS.items():
        stored = stored_bytes(options, measured, frames)
        kept = cached(options, stored)
        found.append(
            f"{name}, {clips:,} videos, {frames / 1e6:.0f} million frames: {stored / 1e12:.2f} TB stored; a host's memory "
            f"holds {kept:.0%} of it"
        )
        for feed in feeds:
            rates = [feed.npus * feed.clips_per_s * feed.utilisation(options, measured, feed.cores, c) for c in (0.0, kept)]
            cold, warm = (clips / rate / 60 for rate in rates)
            found.append(f"  {feed.name}: {cold:.1f} minutes an epoch, {warm:.1f} at best with what memory holds")
        if options.extracted_per_s:
            alone = frames / options.frames_per_video / options.extracted_per_s / 3600
            hours = ", ".join(f"{alone / n:.1f} on {n}" for n in MACHINES)
            found.append(f"  hours to extract, by machines: {hours}")
        else:
            found.append("  hours to extract: give --extracted-per-s: clips / ours_s of scripts/bench_extract.py")
    return [*found, *assumptions(options, measured)]


def stored_bytes(options: Options, measured: dict[str, float], frames: float) -> float:
    """Bytes of a number of frames, packed as the measured ones."""
    return frames * measured["bytes_on_disk_per_clip"] / options.frames_per_video


def cached(options: Options, stored: float) -> float:
    """The share of a data set that a host's memory holds: any of its videos may come to any host."""
    return min(1.0, options.memory_gb * GB / stored)


def assumptions(options: Options, measured: dict[str, float]) -> list[str]:
    """What the figures rest on, and where each comes from."""
    return [
        f"Measured, from {options.measured}: a clip takes {measured['ours_cpu_ms_per_clip']:.2f} ms of a core, "
        f"reads {measured['bytes_read_per_clip'] / 1e3:.0f} kB and sends {measured['bytes_sent_per_clip'] / 1e3:.0f} kB; "
        f"a video takes {measured['bytes_on_disk_per_clip'] / 1e6:.2f} MB.",
        "Assumed, and to be set:",
        f"- an NPU takes {options.clips_per_s:g} clips/s (--clips-per-s)",
        f"- a host of 8 NPUs has {options.cores} cores (--cores), each as fast as the measured one when all are busy",
        f"- a host reads {options.disk_gb_s:g} GB/s (--disk-gb-s), those of 64 NPUs together {options.storage_gb_s:g} "
        "(--storage-gb-s), whatever the order",
        f"- {options.pcie_gb_s:g} GB/s go to each NPU (--pcie-gb-s)",
        f"- a host's memory keeps {options.memory_gb:g} GB of files (--memory-gb), and is itself no limit to reading",
        f"- the measured videos have {options.frames_per_video:g} frames on average (--frames-per-video)",
        "- N machines extract N times what one does (--extracted-per-s)",
        "Assumed, in this file:",
        f"- Kinetics-700 has 650,000 videos of 10 s, Moments in Time {1_000_000:,} of 3 s, all at {FPS} frames/s, scaled "
        "and compressed like the measured ones; one clip of each is an epoch",
        "- reading, decoding, sending and the network overlap wholly; compiling, validation, checkpoints and the exchange "
        "of gradients take no time",
        "Nothing of this has been seen on an Ascend.",
    ]


def draw(options: Options, measured: dict[str, float], feeds: list[Feed]) -> None:
    """Plot utilisation against cores, and where disk and PCIe limit, without and with memory."""
    import matplotlib as mpl  # here, for the processes of the trial import this file too
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.4), layout="constrained")
    figure.suptitle(f"Calculated, not run: how busy NPUs that take {options.clips_per_s:g} clips/s each are kept")
    panels = figure.subplots(1, len(feeds), sharey=True)
    name, (_, frames) = next(iter(DATASETS.items()))
    kept = cached(options, stored_bytes(options, measured, frames))
    for axes, feed in zip(panels, feeds, strict=True):
        cores = range(1, feed.cores + 1)
        busy = [100 * feed.utilisation(options, measured, n) for n in cores]
        axes.plot(cores, busy, color="black", linewidth=2, label="NPUs busy, nothing in memory")
        cold = feed.limits(options, measured, feed.cores)
        warm = feed.limits(options, measured, feed.cores, kept)
        limits = {
            "disk, nothing in memory": (cold["disk"], "tab:red", "--"),
            f"disk, memory holds {kept:.0%} of {name}": (warm["disk"], "tab:orange", "-."),
            "PCIe": (cold["PCIe"], "tab:blue", ":"),
        }
        for label, (share, colour, style) in limits.items():
            if share <= TOP:
                axes.axhline(100 * share, color=colour, linestyle=style, label=f"{label}: delivers {share:.0%}")
            else:
                enough = "no limit" if math.isinf(share) else f"above the plot, {share:.3g} times enough"
                axes.plot([], [], color=colour, linestyle=style, label=f"{label}: {enough}")
        needed = math.ceil(feed.cores / cold["processors"])
        axes.axvline(needed, color="grey", linewidth=0.8, label=f"{needed} cores decode for all NPUs")
        axes.set(title=feed.name, xlabel="processor cores of all hosts", xlim=(0, None), ylim=(0, 100 * TOP))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize="small")
    panels[0].set_ylabel("share of the time that NPUs compute, %")
    with mpl.rc_context({"svg.hashsalt": "clipfeed"}):  # the same file for the same figures
        figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    cli.run(main, Options)
