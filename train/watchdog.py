"""Says which stage is stuck while no batch comes."""

from __future__ import annotations

import threading

from preprocess.common.progress import say

FIRST_BATCH_S = 60.0


class Watchdog:
    """Says in one line which stage is stuck when the first batch has not come after `seconds`, and keeps waiting.

    The workers of `training_batches` count into it, `counts`, if they are threads; who takes the first batch calls `stop`.
    """

    def __init__(self, batch_size: int, seconds: float = FIRST_BATCH_S, counts: bool = True) -> None:
        self.batch_size = batch_size
        self.counts = counts
        self.seconds = seconds
        self.read = self.decoded = 0
        self.lock = threading.Lock()
        self.came = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def count(self, read: int = 0, decoded: int = 0) -> None:
        """Count clips that were read, or decoded and augmented."""
        with self.lock:
            self.read += read
            self.decoded += decoded

    def watch(self) -> None:
        if not self.came.wait(self.seconds):
            say(f"no batch after {self.seconds:g} s: {self.stage()}; still waiting")

    def stage(self) -> str:
        """What has not come to its end."""
        if not self.counts:
            return "stuck in reading, decoding or batching (which of them, --loader threads would say)"
        if self.decoded >= self.batch_size:
            return "stuck in batching, or the network is still being compiled"
        clips = f"{self.read} clips read, {self.decoded} decoded, {self.batch_size} wanted"
        return f"stuck in {'decoding and augmenting' if self.read > self.decoded else 'reading shards'} ({clips})"

    def stop(self) -> None:
        """The first batch has come."""
        self.came.set()
