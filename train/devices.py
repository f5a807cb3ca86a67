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
from train.config import PrecisionConfig

TARGETS = ("Ascend", "CPU")
ASCEND_DRIVER = Path("/dev/davinci_manager")


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

    On Ascend a process that is alone takes the NPU of the environment variable DEVICE_ID, by default the first; msrun's
    share them out by themselves.

    Raises:
        InputError: DEVICE_ID is no number.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    number = os.environ.get("DEVICE_ID", "")
    if device == "Ascend" and number and "MS_ROLE" not in os.environ:
        if not number.isdecimal():
            raise InputError(f"DEVICE_ID={number} is no NPU's number: they are counted from 0")
        ms.set_device(device, int(number))
    else:
        ms.set_device(device)
    ms.set_seed(seed)


def join() -> tuple[int, int]:
    """This process's rank and how many ranks there are: those that msrun started talk to each other from here on.

    Call after `use`. Without msrun it is rank 0 of 1.
    """
    if int(os.environ.get("MS_WORKER_NUM", "1")) == 1:
        return 0, 1
    communication.init()
    return communication.get_rank(), communication.get_group_size()


def cast_network(network: nn.Cell, precision: PrecisionConfig) -> nn.Cell:
    """`network` computing in the recipe's precision, from float32 to float32. Changes `network` itself."""
    return ms.amp.auto_mixed_precision(network, own_level() if precision.level == "auto" else precision.level)


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
    """How many threads or processes a rank may keep busy: its part of the CPUs, which the ranks of this machine share."""
    local_ranks = int(os.environ.get("MS_LOCAL_WORKER_NUM") or os.environ.get("MS_WORKER_NUM") or 1)
    return max(available_cpus() // local_ranks, 1)
