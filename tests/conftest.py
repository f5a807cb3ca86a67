"""What the tests share: small videos made on the spot, small data sets, and the commands run as a user runs them."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

if TYPE_CHECKING:
    from mindrecord.shard_reader import Video

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

sys.path.insert(0, str(ROOT))
os.environ.setdefault("DEVICE_TARGET", "CPU")  # where an Ascend is too: the tests compare bits

from mindrecord import checksums
from preprocess.common import cli
from preprocess.workers import executors


def make_video(
    path: Path, frames: int = 20, size: tuple[int, int] = (64, 48), seed: int = 0, codec: str = "mpeg4", fps: int = 25
) -> np.ndarray:
    """Write a video of a bright square wandering over smooth noise; returns its frames (T, H, W, 3) uint8."""
    width, height = size
    rng = np.random.default_rng(seed)
    background = np.kron(rng.integers(40, 160, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))[:height, :width]
    clip = np.repeat(background[None].astype(np.uint8), frames, axis=0)
    for t in range(frames):
        left = (seed * 7 + 2 * t) % (width - 12)
        clip[t, 10:22, left : left + 12] = 230
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return clip


def make_ucf(
    root: Path,
    classes: tuple[str, ...] = ("Alpha", "Beta"),
    groups: int = 4,
    frames: int = 20,
    size: tuple[int, int] = (64, 48),
) -> None:
    """A data set in UCF101's layout: one video a group and class, group 1 for testing; three splits, CR LF."""
    lists = root / "split"
    lists.mkdir(parents=True)
    lines = [f"{i} {name}" for i, name in enumerate(classes, start=1)]
    (lists / "classInd.txt").write_bytes(("\r\n".join(lines) + "\r\n").encode())
    for split in (1, 2, 3):
        train, test = [], []
        for label, name in enumerate(classes, start=1):
            for group in range(1, groups + 1):
                path = f"{name}/v_{name}_g{group:02d}_c01.avi"
                if split == 1:
                    make_video(root / "video" / path, frames + group, size, seed=10 * label + group)
                if group == split:
                    test.append(path)
                else:
                    train.append(f"{path} {label}")
        (lists / f"trainlist{split:02d}.txt").write_bytes("".join(line + "\r\n" for line in train).encode())
        (lists / f"testlist{split:02d}.txt").write_bytes("".join(line + "\r\n" for line in test).encode())


def listed_for_testing(records: Path, split: str) -> list[Video]:
    """The test videos of a records folder."""
    from mindrecord import manifest  # here, for most tests do without MindSpore
    from mindrecord.shard_reader import videos_of_split
    from preprocess.catalog import TEST

    return videos_of_split(records, manifest.load(records), split, TEST)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command of the project from an empty folder; `run("preprocess/extract_frames.py", "--root", ...)`.

    It runs in this process, as its `main` does under `cli.run_parsed`; with `new_process` as a user starts it, which takes
    the time that MindSpore takes to be imported.
    """

    def run_command(
        command: str, *arguments: object, code: int = 0, cwd: Path = tmp_path, new_process: bool = False
    ) -> subprocess.CompletedProcess[str]:
        texts = [*map(str, arguments)]
        if new_process:
            line = [sys.executable, str(ROOT / command), *texts]
            done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)
        else:
            done = run_here(command, texts, cwd)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run_command


ENTRIES = {"preprocess/extract_frames.py": "preprocess.extract_dataset", "mindrecord/build.py": "mindrecord.build_records"}
"""Where the `main` of a command is that is not in its own file."""


def run_here(command: str, arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, and leave no trace of it in this process."""
    module = importlib.import_module(ENTRIES.get(command, command.removesuffix(".py").replace("/", ".")))
    parser = getattr(module, "parse", None) or partial(cli.parse, module.Options)
    out, errors = io.StringIO(), io.StringIO()
    before, handler, argv = Path.cwd(), signal.getsignal(signal.SIGTERM), sys.argv
    try:
        os.chdir(cwd)
        sys.argv = [command, *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            cli.run_parsed(module.main, parser)
    except SystemExit as end:
        code = int(end.code or 0)
    except Exception:
        code = 1
        errors.write(traceback.format_exc())
    finally:
        os.chdir(before)
        sys.argv = argv
        signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess([command, *arguments], code, out.getvalue(), errors.getvalue())


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a user's mistake gets. Fails when stderr has more than it, MindSpore's own warnings aside."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[WARNING]")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="session")
def ucf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in UCF101's layout; not to be changed."""
    root = tmp_path_factory.mktemp("ucf")
    make_ucf(root)
    return root


@pytest.fixture(scope="session")
def frames(ucf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its frames, by the real command; not to be changed."""
    out = tmp_path_factory.mktemp("stages") / "frames"
    with without_workers():
        done = run_here("preprocess/extract_frames.py", ["--root", str(ucf), "--out", str(out)], out.parent)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def records(frames: Path) -> Path:
    """Its records, by the real command; not to be changed."""
    out = frames.parent / "records"
    with without_workers():
        done = run_here("mindrecord/build.py", ["--frames", str(frames), "--out", str(out)], out.parent)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def workers_here() -> Iterator[None]:
    """What commands give to workers is done in this process; see `without_workers`."""
    with without_workers():
        yield


@contextlib.contextmanager
def without_workers() -> Iterator[None]:
    """For what comes out of commands, not of workers, which take seconds to import MindSpore."""

    def run_in_turn(function: Callable[[Any], Any], items: Iterable[Any], *_: object, **__: object) -> Iterator[Any]:
        return map(function, items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "run", run_in_turn)
        yield


@pytest.fixture
def pack(records: Path, tmp_path: Path) -> Path:
    """A copy of its own, which no command has looked at yet."""
    return Path(shutil.copytree(records, tmp_path / "pack", ignore=shutil.ignore_patterns(checksums.FILE_NAME)))


@pytest.fixture
def on_the_cpu() -> None:
    """MindSpore as training sets it up: graph mode on the CPU, its generators seeded."""
    from train import devices

    devices.use("CPU", seed=0)


@pytest.fixture
def shared() -> Path:
    """The folder of real clips and reference values, where it is."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: it holds real clips that are not part of the project")
    return SHARED


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True
