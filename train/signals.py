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
        """Call before any thread is started, numpy's included. Until `listen` is called, both work as ever."""
        self.block()
        os.register_at_fork(after_in_child=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS))
        threading.Thread(target=self.wait, daemon=True).start()

    def listen(self) -> None:
        """From here on a signal is remembered. Call in the main thread."""
        self.listening = True
        for number in SIGNALS:  # for one that comes while they are not blocked
            signal.signal(number, lambda number, _: self.came(number))

    def block(self) -> None:
        """Leave the signals to the waiting thread. Call in the main thread again and again: multiprocessing's resource
        tracker, which shared memory starts and the compilers of Ascend's operators too, unblocks them in the thread that
        starts it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def wait(self) -> None:
        while True:
            info = signal.sigwaitinfo(SIGNALS)
            if info.si_pid == os.getpid():
                self.give_up(info.si_signo)
            elif self.listening:
                self.came(info.si_signo)
            else:
                _thread.interrupt_main(signal.Signals(info.si_signo))

    def came(self, number: int) -> None:
        """Remember the signal, or, if it is the second, end the process."""
        if self.number:
            os._exit(128 + number)
        self.number = number
        name = signal.Signals(number).name
        print(f"{name}: finishing the step and saving; once more to stop at once", flush=True)

    def give_up(self, number: int) -> None:
        """End the process, which sent itself the signal: MindSpore does so when the ranks have lost each other."""
        name = signal.Signals(number).name
        print(
            f"{name} from this process itself: MindSpore gave up, most often since another rank or the link to it is lost; "
            "what it printed before says why",
            flush=True,
        )
        os._exit(128 + number)


STOP = StopSignal()
