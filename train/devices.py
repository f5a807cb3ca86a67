"""Everything that knows which device this runs on."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import mindspore as ms
from mindspore import communication, nn, ops
from mindspore.train import model

from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from train.cluster import RANK_CPUS
from train.config import ClipConfig, PrecisionConfig
from train.findings import cause

TARGETS = ("Ascend", "CPU")
ASCEND_DRIVER = Path("/dev/davinci_manager")
MAX_BATCH_BYTES = 256 * 2**20
"""What data sinking transfers at a time (mindspore.Model.train)."""


def target() -> str:
    """The device to use: what the environment variable DEVICE_TARGET says, else Ascend where its driver is, else CPU."""
    wanted = os.environ.get("DEVICE_TARGET") or ("Ascend" if ASCEND_DRIVER.exists() else "CPU")
    if wanted not in TARGETS:
        raise InputError(f"DEVICE_TARGET={wanted} is not known: choose one of {', '.join(TARGETS)}")
    return wanted


def ascend_devices() -> list[Path]:
    """The NPUs that this host, or this container, has been given by the driver."""
    return sorted(path for path in ASCEND_DRIVER.parent.glob("davinci*") if path.name.removeprefix("davinci").isdecimal())


def use(device: str, seed: int) -> None:
    """Compile whole graphs for `device`, and seed MindSpore's generators. Call before any network is made.

    On Ascend the process takes the NPU of the environment variable DEVICE_ID, which msrun sets for each rank, by default the
    first; graphs run kernel by kernel (jit level O0) on every chip, as is the default of those after the first generation;
    RANK_TABLE_FILE is left out, which would send first-generation chips another way.

    Raises:
        InputError: DEVICE_ID is no number, or MindSpore cannot compute on `device`.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        if device == "Ascend":
            os.environ.pop("RANK_TABLE_FILE", None)
            ms.set_device(device, *npu_of_environment())
            ms.set_context(jit_config={"jit_level": "O0"})
        else:
            ms.set_device(device)
    except RuntimeError as error:
        raise InputError(
            f"MindSpore cannot compute on {device} ({cause(str(error))}): python train/doctor.py says what is missing, "
            "DEVICE_TARGET=CPU computes without"
        ) from None
    ms.set_seed(seed)


def npu_of_environment() -> tuple[int, ...]:
    """The number in DEVICE_ID, if it is set.

    Raises:
        InputError: it is none.
    """
    number = os.environ.get("DEVICE_ID", "")
    if number and not number.isdecimal():
        raise InputError(f"DEVICE_ID={number} is no NPU's number: they are counted from 0")
    return (int(number),) if number else ()


def join() -> tuple[int, int]:
    """This process's rank and how many ranks there are: those that msrun started talk to each other from here on.

    Call after `use`. Without msrun it is rank 0 of 1.
    """
    if int(os.environ.get("MS_WORKER_NUM", "1")) == 1:
        return 0, 1
    communication.init()
    return communication.get_rank(), communication.get_group_size()


def cast_network(network: nn.Cell, precision: PrecisionConfig) -> nn.Cell:
    """`network` computing in the recipe's precision, from float32 to float32. Changes `network` itself.

    Raises:
        InputError: it is float32 and the device is Ascend.
    """
    level = own_level() if precision.level == "auto" else precision.level
    if level == "O0" and own_level() != "O0":
        raise InputError(
            "precision.level O0 is float32, which nn.Conv3d does not take on Ascend: leave it at auto, or choose O2"
        )
    return ms.amp.auto_mixed_precision(network, level)


def check_batch(batch_size: int, clip: ClipConfig) -> None:
    """Refuse a batch that cannot be sunk.

    Raises:
        InputError: the device is Ascend and the batch is larger than `MAX_BATCH_BYTES`.
    """
    size = batch_size * clip.frames * clip.size**2 * 3
    if target() == "Ascend" and size > MAX_BATCH_BYTES:
        fitting = batch_size * MAX_BATCH_BYTES // size
        raise InputError(
            f"a batch of {batch_size} x {clip.frames} x {clip.size} x {clip.size} x 3 bytes is {size / 2**20:.0f} MB, "
            f"and Ascend is sent at most {MAX_BATCH_BYTES // 2**20} MB at a time: --batch-size {fitting} or less"
        )


def own_level() -> str:
    """The precision level "auto": O2 on Ascend, where nn.Conv3d is documented for float16 alone, and O0 on the CPU, where
    float16 is slower."""
    return "O2" if ms.get_context("device_target") == "Ascend" else "O0"


def work_in(folder: Path) -> None:
    """Make `folder` the working directory: graph mode writes rank_0/ and kernel_meta/ into it, which belong to the run and
    not to wherever the user stands. Callers make their paths absolute first."""
    os.chdir(folder)


@contextlib.contextmanager
def work_aside(inside: Path | None = None) -> Iterator[Path]:
    """`work_in` a temporary folder, made `inside` another or where the system has them, and come back; yields it."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory(dir=inside, prefix=".work-") as folder:
        work_in(Path(folder))
        try:
            yield Path(folder)
        finally:
            work_in(here)


def sum_over_ranks(values: Sequence[float], ranks: int) -> list[float]:
    """The sum of each value over all ranks, in float32. All ranks must call this."""
    if ranks == 1:
        return list(values)
    total: list[float] = ops.AllReduce(ops.ReduceOp.SUM)(ms.Tensor(values, ms.float32)).tolist()  # all that the CPU knows
    return total


def on_any_rank(here: bool, ranks: int) -> bool:
    """Whether the condition holds on any rank. All ranks must call this."""
    return sum_over_ranks([float(here)], ranks)[0] > 0


def sinks() -> bool:
    """Whether `mindspore.Model.train` sinks data as it is asked to; on the CPU it feeds step by step. It decides by this
    very question, asked in its own module."""
    return bool(model.context.get_context("device_target") != "CPU")


def workers_of_rank() -> int:
    """How many threads or processes a rank may keep busy: the CPUs that it may use, and no more than its part of them.

    The part is what `RANK_CPUS` says, which train/launch.py sets. Under another launcher all ranks are taken to be here.
    """
    ranks = os.environ.get("MS_WORKER_NUM") or os.environ.get("RANK_SIZE") or "1"
    share = os.environ.get(RANK_CPUS) or available_cpus() // int(ranks)
    return max(min(available_cpus(), int(share)), 1)


def is_first_rank() -> bool:
    """Whether this process is rank 0, or alone; before `join`."""
    return int(os.environ.get("MS_WORKER_NUM", "1")) == 1 or os.environ.get("RANK_ID", "0") == "0"
