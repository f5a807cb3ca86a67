"""Everything that knows which device this runs on."""

from __future__ import annotations

import os
from pathlib import Path

import mindspore as ms

from preprocess.common.errors import InputError

TARGETS = ("Ascend", "CPU")
ASCEND_DRIVER = Path("/dev/davinci_manager")


def target() -> str:
    """The device to use: what the environment variable DEVICE_TARGET says, else Ascend where its driver is, else CPU."""
    wanted = os.environ.get("DEVICE_TARGET") or ("Ascend" if ASCEND_DRIVER.exists() else "CPU")
    if wanted not in TARGETS:
        raise InputError(f"DEVICE_TARGET={wanted} is not known: choose one of {', '.join(TARGETS)}")
    return wanted


def use(device: str, seed: int) -> None:
    """Compile whole graphs for `device`, and seed MindSpore's generators. Call before any network is made."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(device)
    ms.set_seed(seed)


def work_in(folder: Path) -> None:
    """Make `folder` the working directory: graph mode writes rank_0/ and kernel_meta/ into it, which belong to the run and
    not to wherever the user stands. Callers make their paths absolute first."""
    os.chdir(folder)
