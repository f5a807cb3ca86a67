"""SIGTERM and SIGINT: the step under way is finished and saved first. Imports nothing that starts a thread."""

from __future__ import annotations

import _thread
import os
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):  # noqa: N818 - it is no error
    """The run was stopped by a signal, and is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopSignal:
    """Remembers that a SIGTERM or SIGINT came, in `number`. A second one ends the process at once.

    A thread waits for them, and they are blocked in all others: while a graph runs MindSpore has a handler of its own, which
    makes a SIGTERM of every SIGINT, and Python's come only when the graph is done.
    """

    def __init__(self) -> None:
        self.number = 0
        self.listening = False

    def take_signals(self) -> None:
        """Call before any thread is started, numpy's included. Until `listening` is set, both work as ever."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        os.register_at_fork(after_in_child=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS))
        threading.Thread(target=self.wait, daemon=True).start()

    def wait(self) -> None:
        while True:
            number = signal.Signals(signal.sigwait(SIGNALS))
            if not self.listening:
                _thread.interrupt_main(number)
            elif self.number:
                os._exit(128 + number)
            else:
                self.number = number
                print(f"{number.name}: finishing the step and saving; once more to stop at once", flush=True)


STOP = StopSignal()
