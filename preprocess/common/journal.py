"""A file of JSON lines that outlives a kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from preprocess.common import files
from preprocess.common.errors import InputError

RecordT = TypeVar("RecordT")


class Journal(Generic[RecordT]):
    """One record a line, appended in one write each.

    A kill may leave an incomplete last line: reading skips it, and the first append removes it.

    Args:
        path: the file, which need not exist.
        to_record: makes a record of a line's JSON value.
        to_json: makes a JSON value of a record.
        remedy: what to do about a damaged line.
    """

    def __init__(
        self,
        path: Path,
        to_record: Callable[[Any], RecordT],
        to_json: Callable[[RecordT], Any],
        remedy: str = "delete that line, what it records is done again",
    ) -> None:
        self.path = path
        self.to_record = to_record
        self.to_json = to_json
        self.remedy = remedy
        self.complete = False

    def read(self) -> list[RecordT]:
        """All records; none if the file does not exist.

        Raises:
            InputError: a line is damaged.
        """
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.is_file() else []
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(self.to_record(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError):
                raise InputError(f"{self.path}, line {number} is damaged: {self.remedy}") from None
        return records

    def append(self, record: RecordT) -> None:
        """Add a record."""
        if not self.complete:
            self.remove_incomplete_line()
            self.complete = True
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(self.to_line(record))

    def rewrite(self, records: Iterable[RecordT]) -> None:
        """Replace all records, atomically."""
        files.write_text(self.path, "".join(map(self.to_line, records)))

    def to_line(self, record: RecordT) -> str:
        return json.dumps(self.to_json(record), ensure_ascii=False) + "\n"

    def remove_incomplete_line(self) -> None:
        """Remove what follows the last line end, which would swallow the next record."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        if data and not data.endswith(b"\n"):
            with self.path.open("r+b") as stream:
                stream.truncate(data.rfind(b"\n") + 1)
