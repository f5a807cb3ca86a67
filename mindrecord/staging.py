"""The hidden folder in which a records folder is built. It outlives a run that is interrupted, and the next run resumes from
it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mindrecord.manifest import Shard, shard_from_json
from preprocess.common import files
from preprocess.common.journal import Journal
from preprocess.common.progress import say

PLAN, FINISHED, RECORDS = "plan.json", "finished.jsonl", "records"


class Building:
    """`.<name>.building` next to `out`: `records/` becomes `out`, `plan.json` records frames and settings,
    `finished.jsonl` lists the completed shards with their hashes. What a source keeps there stays."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.with_name(f".{out.name}.building")
        self.records = self.folder / RECORDS
        self.journal = Journal(
            self.folder / FINISHED, shard_from_json, asdict, f"delete the folder {self.folder} and pack again"
        )

    def begin(self, plan: dict[str, Any]) -> dict[str, Shard]:
        """Make the folder, or resume in it; returns the shards, by file, that a previous run finished.

        What it holds by another plan is deleted, and a line says so.
        """
        path = self.folder / PLAN
        plan = json.loads(json.dumps(plan))
        if path.is_file() and files.read_json(path) == plan:
            return self.finished()
        if path.is_file():
            say(f"{self.folder} was left by a run over other frames or settings: its shards are deleted")
        shutil.rmtree(self.records, ignore_errors=True)
        self.journal.path.unlink(missing_ok=True)
        self.records.mkdir(parents=True)
        files.write_json(path, plan)
        return {}

    def finished(self) -> dict[str, Shard]:
        """The shards of `finished.jsonl` by file.

        Raises:
            InputError: a line is damaged.
        """
        return {shard.file: shard for shard in self.journal.read()}

    def append(self, shard: Shard) -> None:
        """Record a shard that is done."""
        self.journal.append(shard)

    def publish(self) -> None:
        """Rename the records into place. An empty folder there is replaced."""
        os.rename(self.records, self.out)
        self.remove()

    def remove(self) -> None:
        """Delete the folder, if it exists."""
        shutil.rmtree(self.folder, ignore_errors=True)
