"""Whether this machine computes what it should: the device against the CPU, sinking against feeding, one rank against all.

    sh scripts/accept.sh work/records                         writes work/acceptance/acceptance.html and .json
    DEVICES=8 sh scripts/accept.sh work/records --out FOLDER

It compares on a small data set of moving shapes that it makes itself, and times on the records that it is given. Where the
device computes in float16, it may be `SLACK` times as far from the CPU as float16 is from float32 on the CPU, which is
measured too. Ends with 1 when a part fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(ROOT)

import numpy as np
import psutil
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from mindrecord import manifest
from preprocess.common import cli, files
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train import ascend_host, checkpoint, cluster, devices
from train.config import DEFAULT_RECIPE, RECIPES
from train.findings import cause
from train.run_folder import surroundings

PASSED, FAILED, LEFT_OUT = "passed", "failed", "left out"
SLACK = 3.0
FLOAT32 = 1e-3
"""How far two machines' float32 may be apart, as a share of what is compared."""
RANKS_APART = {"O0": FLOAT32, "O2": 0.05}
"""How far apart weights may be after one rank and several trained on the same batches, as a share of their norm. For
float16 it is a guess: no NPU has shown what is usual."""
PART_S = 600.0
CLIPS = 8
"""Of a batch over all ranks."""
TRAINING = (
    *("--recipe", str(RECIPES / "quick_cpu.yaml"), "--epochs", "2", "--optimizer.name", "momentum", "--sync-bn"),
    *(
        "--schedule.learning-rate",
        "0.002",
        "--schedule.warmup-epochs",
        "0",
        "--save-every-minutes",
        "0",
        "--sink-steps",
        "1",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare the device with the CPU, sinking with feeding, one rank with all, and time a training step."""

    records: Path = Path("work/records")
    """The records folder to time a step on."""
    out: Path = Path("work/acceptance")
    """The folder to write: acceptance.html, acceptance.json and what the parts printed; one that is there is replaced."""
    recipe: Path | None = None
    """The recipe to time; by default ucf101_r3d50 on Ascend, quick_cpu on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was compared, how far apart it is, and how far it may be; as shares of `of`."""

    name: str
    apart: float
    allowed: float
    of: str


@dataclass(kw_only=True)
class Part:
    """One part of the acceptance."""

    name: str
    state: str = PASSED
    text: str = ""
    figures: list[Figure] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def compare(self, figure: Figure) -> None:
        """Add a figure; the part fails if it is too far apart, or is no number."""
        self.figures.append(figure)
        if not figure.apart <= figure.allowed:
            self.state = FAILED


class PartFailedError(Exception):
    """A process of a part ended with an error."""


class Acceptance:
    """The parts, and what they share: the folder, the device and how many ranks."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.folder = options.out.resolve()
        self.records = options.records.resolve()
        self.target = devices.target()
        self.level = "O2" if self.target == "Ascend" else "O0"
        here = len(devices.ascend_devices()) if self.target == "Ascend" else 2
        self.ranks = cluster.number(os.environ, "DEVICES", max(here, 1), least=1)
        self.clips = max(CLIPS // self.ranks, 1)
        self.shapes = self.folder / "shapes-records"

    def parts(self) -> dict[str, Callable[[Part], None]]:
        """All parts by name, in their order."""
        return {
            "Doctor": self.doctor,
            "A data set of moving shapes": self.make_shapes,
            "Logits of each network": self.logits,
            "Ten training steps": self.steps,
            "Sunk and fed": self.sunk,
            "One rank and all": self.one_and_all,
            "Killed and resumed": self.killed,
            "Speed": self.speed,
        }

    def command(self, log: str, *arguments: object, **variables: str) -> str:
        """Run one of our scripts, keeping what it prints; returns that.

        Raises:
            PartFailedError: it ended with an error, or not in time.
        """
        path = self.folder / f"{log}.log"
        with path.open("a", encoding="utf-8") as output:
            try:
                done = subprocess.run(
                    [sys.executable, str(ROOT / str(arguments[0])), *map(str, arguments[1:])],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | variables,
                    timeout=PART_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise PartFailedError(f"{arguments[0]} took more than {PART_S:g} s, see {path}") from None
        said = path.read_text(encoding="utf-8", errors="replace")
        if done.returncode:
            raise PartFailedError(f"{arguments[0]} ended with {done.returncode} ({cause(said)}), see {path}")
        return said

    def doctor(self, part: Part) -> None:
        """What train/doctor.py finds."""
        try:
            self.command("doctor", "train/doctor.py", "--records", self.records, DEVICES=str(self.ranks))
        except PartFailedError as error:
            part.state, part.text = FAILED, str(error)
        part.lines = (self.folder / "doctor.log").read_text(encoding="utf-8").splitlines()

    def make_shapes(self, part: Part) -> None:
        """The first two stages, on data whose content is known."""
        raw, frames = self.folder / "shapes", self.folder / "shapes-frames"
        self.command("shapes", "scripts/make_shapes.py", "--out", raw, "--groups", 21, "--clips", 1)
        dataset = ("--dataset", "ucf101", "--root", raw, "--out", frames)
        self.command("shapes", "preprocess/extract_frames.py", *dataset, "--short-side", 64)
        self.command("shapes", "mindrecord/build.py", "--frames", frames, "--out", self.shapes)
        part.text = f"{sum(manifest.load(self.shapes).class_videos['1']['train'])} training videos"

    def arrays(self, name: str, target: str, level: str, *arguments: object) -> Mapping[str, NDArray[np.float32]]:
        """What a part of scripts/accept_parts.py finds on a device."""
        self.command(name, "scripts/accept_parts.py", name, level, self.folder, *arguments, DEVICE_TARGET=target)
        with np.load(self.folder / f"{name}-{target}-{level}.npz") as found:
            return dict(found)

    def three(self, name: str, *arguments: object) -> tuple[Mapping[str, NDArray[np.float32]], ...]:
        """A part on the CPU in float32 and in float16, and on the device. (The CPU's float16 is only needed where the device
        computes in it.)"""
        expected = self.arrays(name, "CPU", "O0", *arguments)
        half = self.arrays(name, "CPU", "O2", *arguments) if self.level == "O2" else expected
        return expected, half, self.arrays(name, self.target, self.level, *arguments)

    def logits(self, part: Part) -> None:
        """Each family's logits on the device and on the CPU, for the same weights and clips."""
        expected, half, found = self.three("logits")
        for name in expected:
            scale = float(expected[name].std())
            part.compare(
                Figure(
                    name=name,
                    apart=float(np.abs(found[name] - expected[name]).max()) / scale,
                    allowed=FLOAT32 + SLACK * float(np.abs(half[name] - expected[name]).max()) / scale,
                    of="the logits' standard deviation, at most",
                )
            )

    def steps(self, part: Part) -> None:
        """Ten training steps on the device and on the CPU: losses, weights, running statistics."""
        expected, half, found = self.three("steps", self.shapes)
        losses = {
            name: float(np.abs(one["losses"] / expected["losses"] - 1).max()) for name, one in (("f", found), ("h", half))
        }
        part.compare(Figure(name="losses", apart=losses["f"], allowed=FLOAT32 + SLACK * losses["h"], of="the loss, at most"))
        for what, names in kinds(expected).items():
            apart, usual = (way(one, expected, names) for one in (found, half))
            allowed = FLOAT32 + SLACK * usual
            part.compare(Figure(name=what, apart=apart, allowed=allowed, of="the way they went in ten steps"))

    def sunk(self, part: Part) -> None:
        """The same ten steps, sunk, against those that were fed one by one on the same device."""
        if self.target == "CPU":
            part.state, part.text = LEFT_OUT, "MindSpore does not sink data on the CPU"
            return
        with np.load(self.folder / f"steps-{self.target}-{self.level}.npz") as file:
            fed = dict(file)
        found = self.arrays("sunk", self.target, self.level, self.shapes)
        for size in sorted({name.partition(".")[0] for name in found}):
            one = {name.removeprefix(f"{size}."): value for name, value in found.items() if name.startswith(f"{size}.")}
            for what, names in kinds(fed).items():
                name = f"{what}, {size} steps a sink"
                part.compare(Figure(name=name, apart=way(one, fed, names), allowed=FLOAT32, of="the way they went"))

    def training(self, name: str, clips: int) -> list[object]:
        """The options of a run on the shapes, with so large a batch on each rank."""
        out = self.folder / "runs" / name
        return ["--records", self.shapes, "--out", out, *TRAINING, "--batch-size", clips]

    def train(self, name: str, ranks: int, clips: int) -> Path:
        """Train on the shapes; returns last.ckpt."""
        self.command(f"train-{name}", "train/launch.py", *self.training(name, clips), DEVICES=str(ranks))
        return self.folder / "runs" / name / "last.ckpt"

    def one_and_all(self, part: Part) -> None:
        """Two epochs on all ranks, and on one with all their clips, with synchronised batch norm."""
        if self.ranks == 1:
            part.state, part.text = LEFT_OUT, "there is one rank"
            return
        one = self.train("one", 1, self.clips * self.ranks)
        every = self.train("all", self.ranks, self.clips)
        part.text = f"{self.ranks} ranks of {self.clips} clips, and one of {self.clips * self.ranks}"
        allowed = RANKS_APART[self.level]
        part.compare(Figure(name="weights", apart=apart(every, one), allowed=allowed, of="their norm"))

    def killed(self, part: Part) -> None:
        """The run on all ranks again, one of which is killed with SIGKILL within an epoch, and resumed."""
        expected = self.folder / "runs/all/last.ckpt"
        if not expected.is_file():
            expected = self.train("all", self.ranks, self.clips)
        out = self.folder / "runs/killed"
        steps = self.kill_within_an_epoch(out / "last.ckpt")
        self.command("train-killed", "train/launch.py", "--resume", out, DEVICES=str(self.ranks))
        part.text = f"killed after {steps} steps"
        allowed = 0.0 if self.target == "CPU" else RANKS_APART[self.level]
        found = apart(out / "last.ckpt", expected)
        part.compare(Figure(name="weights", apart=found, allowed=allowed, of="their norm"))
        part.text += ", and the weights are the same to the bit" if found == 0 else ""

    def kill_within_an_epoch(self, last: Path) -> int:
        """Start training and kill its last rank when it has saved within an epoch; returns after how many steps.

        Raises:
            PartFailedError: it ended by itself.
        """
        arguments = self.training(last.parent.name, self.clips)
        with (self.folder / "train-killed.log").open("a", encoding="utf-8") as output:
            launch = subprocess.Popen(
                [sys.executable, str(ROOT / "train/launch.py"), *map(str, arguments)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"DEVICES": str(self.ranks)},
            )
            try:
                ends = time.monotonic() + PART_S
                while launch.poll() is None and time.monotonic() < ends:
                    time.sleep(0.05)
                    with suppress(InputError):
                        if (steps := steps_saved(last)) > 1:
                            os.kill(self.last_rank(launch.pid), signal.SIGKILL)
                            launch.wait(60)
                            return steps
            finally:
                launch.kill()
                launch.wait()
        raise PartFailedError(f"the run to be killed ended by itself, see {self.folder / 'train-killed.log'}")

    def last_rank(self, launcher: int) -> int:
        """The process id of the last rank of a launch; one rank is the launcher itself."""
        for process, mark in cluster.marked():
            with suppress(psutil.Error, ProcessLookupError):
                variables = process.environ()
                is_rank = variables.get("MS_ROLE") == "MS_WORKER" and os.getsid(process.pid) == process.pid
                if mark.startswith(f"{launcher}-") and is_rank and variables["RANK_ID"] == str(self.ranks - 1):
                    return int(process.pid)
        return launcher

    def speed(self, part: Part) -> None:
        """What a step on the records that were given takes, and what limits it."""
        recipe = self.options.recipe or (DEFAULT_RECIPE if self.target == "Ascend" else RECIPES / "quick_cpu.yaml")
        said = self.command("speed", "train/profile_step.py", "--records", self.records, "--recipe", recipe)
        part.lines = [line for line in said.splitlines() if line.strip() and not line.startswith("[")]


def kinds(found: Mapping[str, NDArray[np.float32]]) -> dict[str, list[str]]:
    """The names of a step's weights and running statistics, of which the values before it are there too."""
    names = [name for name in found if f"before.{name}" in found and found[name].ndim]
    names = [name for name in names if not name.startswith(("moments.", "totals"))]
    return {
        "weights": [name for name in names if "moving_" not in name],
        "running statistics": [name for name in names if "moving_" in name],
    }


def way(found: Mapping[str, NDArray[np.float32]], expected: Mapping[str, NDArray[np.float32]], names: list[str]) -> float:
    """How far apart the values are, as a share of the way that the expected ones went."""
    difference = sum(float(np.square(found[name] - expected[name]).sum()) for name in names)
    went = sum(float(np.square(expected[name] - expected[f"before.{name}"]).sum()) for name in names)
    return float(np.sqrt(difference / went))


def apart(path: Path, other: Path) -> float:
    """How far apart the weights of two checkpoints are, as a share of their norm."""
    found, expected = (checkpoint.load(one)[1] for one in (path, other))
    values = [(found[name].asnumpy(), expected[name].asnumpy()) for name in expected]
    difference = sum(float(np.square(a - b).sum()) for a, b in values)
    return float(np.sqrt(difference / sum(float(np.square(b).sum()) for _, b in values)))


def steps_saved(last: Path) -> int:
    """After how many steps of an epoch a checkpoint was saved; 0 if there is none."""
    if not last.is_file():
        return 0
    _, progress, _ = checkpoint.load_for_resume(last)
    return int(progress.step)


def main(options: Options) -> int:
    manifest.load(options.records.resolve())  # before minutes are spent
    files.refuse_other_folder(options.out, "acceptance.json", "an acceptance")
    acceptance = Acceptance(options)
    check_device()
    shutil.rmtree(acceptance.folder, ignore_errors=True)
    acceptance.folder.mkdir(parents=True)
    say(f"{acceptance.target}, {acceptance.ranks} ranks -> {options.out}")
    devices.use("CPU", seed=1)  # what is done here itself is reading
    parts: list[Part] = []
    write(acceptance, parts)
    for name, run in acceptance.parts().items():
        part = Part(name=name)
        began = time.monotonic()
        try:
            run(part)
        except (PartFailedError, InputError) as error:
            part.state, part.text = FAILED, str(error)
        part.seconds = round(time.monotonic() - began, 1)
        say(f"{part.state:<9}{name}{f' ({part.text})' if part.text else ''}, {part.seconds:.0f} s")
        parts.append(part)
        write(acceptance, parts)
    say(f"report: {options.out / 'acceptance.html'}")
    return 1 if any(part.state == FAILED for part in parts) else 0


def check_device() -> None:
    """Refuse a device that MindSpore cannot compute on. Asked in another process, so that this one holds none.

    Raises:
        InputError: it cannot.
    """
    ask = "from train import devices; devices.use(devices.target(), 0)"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        _, refused, why = done.stderr.strip().rpartition("InputError: ")
        raise InputError(why if refused else cause(done.stderr))


def write(acceptance: Acceptance, parts: list[Part]) -> None:
    """Write acceptance.json, and a page of it that is complete in itself."""
    found = {
        "device": acceptance.target,
        "ranks": acceptance.ranks,
        "precision": acceptance.level,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "passed": all(part.state != FAILED for part in parts),
        "seconds": round(sum(part.seconds for part in parts)),
        "cann": ascend_host.cann_version(os.environ.get("ASCEND_HOME_PATH", "")) or "none",
        **surroundings(),
        "parts": [asdict(part) for part in parts],
    }
    files.write_json(acceptance.folder / "acceptance.json", found)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("accept_page.html").render(a=found)
    files.write_text(acceptance.folder / "acceptance.html", page)


if __name__ == "__main__":
    cli.run(main, Options)
