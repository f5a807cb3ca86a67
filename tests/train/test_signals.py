from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

BEGIN = """
import ctypes, os, signal, sys, threading, time
from multiprocessing.shared_memory import SharedMemory
from train.signals import STOP, SIGNALS

STOP.take_signals()
STOP.listen()
"""
SHARED_MEMORY = """
shared = SharedMemory(create=True, size=1)
shared.close()
shared.unlink()
assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # the resource tracker's doing
"""
WAIT_FOR_IT = """
print("ready", flush=True)
until = time.monotonic() + 20
while not STOP.number and time.monotonic() < until:
    time.sleep(0.01)
print("saved" if STOP.number else "nothing came", flush=True)
"""


def started(script: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", BEGIN + script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("before", ["", SHARED_MEMORY, SHARED_MEMORY + "STOP.block()\n"])
def test_a_signal_is_remembered_also_after_shared_memory_has_unblocked_it(before: str, number: signal.Signals) -> None:
    process = started(before + WAIT_FOR_IT)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert said == f"{number.name}: finishing the step and saving; once more to stop at once\nsaved\n"
    assert process.returncode == 0


def test_the_second_signal_ends_the_process_at_once() -> None:
    process = started("print('ready', flush=True)\nctypes.CDLL(None).sleep(60)\n")
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_sigterm_from_the_process_itself_ends_it_at_once_and_says_so() -> None:
    """As MindSpore sends when a rank is lost, while the main thread is in C++ for good."""
    began = time.monotonic()
    process = started(
        "threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()\n"
        "print('ready', flush=True)\nctypes.CDLL(None).sleep(60)\n"
    )
    said, _ = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 128 + signal.SIGTERM
    assert said.startswith("SIGTERM from this process itself: MindSpore gave up")


def test_children_are_forked_with_both_signals_as_ever() -> None:
    process = started(
        "blocked = os.fork() or signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
        "if isinstance(blocked, set):\n    os._exit(len(blocked))\n"
        "print('ready', flush=True)\nsys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    process.communicate(timeout=30)
    assert process.returncode == os.EX_OK
