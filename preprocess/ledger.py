"""The ledger of a frames folder: one line of JSON a listed video. found = ok + failed + missing, always."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preprocess.catalog import Catalog
from preprocess.common import files
from preprocess.common.errors import InputError

FILE_NAME = "ledger.jsonl"
OK, FAILED, MISSING = "ok", "failed", "missing"


@dataclass(frozen=True)
class Entry:
    """What became of one video. Sizes in pixels or bytes; counts and sizes of what was not reached are 0.

    `declared_frames` is the header's count, `decoded_frames` how many came out: both are kept because headers lie.
    `width` and `height` are the source's, `frame_width` and `frame_height` the JPEGs'. The hashes are of the video file and
    of its JPEGs one after the other.
    """

    class_name: str
    video_id: str
    path: str
    status: str
    reason: str = ""
    segment_s: tuple[float, float] | None = None
    declared_frames: int = 0
    decoded_frames: int = 0
    fps: float = 0.0
    codec: str = ""
    width: int = 0
    height: int = 0
    frame_width: int = 0
    frame_height: int = 0
    source_bytes: int = 0
    source_sha256: str = ""
    jpeg_bytes: int = 0
    jpeg_sha256: str = ""

    @property
    def name(self) -> str:
        """`Class/video_id`, as the catalog's."""
        return f"{self.class_name}/{self.video_id}"


def to_line(entry: Entry) -> str:
    return json.dumps(asdict(entry), ensure_ascii=False) + "\n"


def from_json(value: dict[str, Any]) -> Entry:
    """An entry as `asdict` and JSON have it."""
    segment = value.get("segment_s")
    return Entry(**value | {"segment_s": tuple(segment) if segment else None})


def read(folder: Path) -> dict[str, Entry]:
    """The entries by name; a later line replaces an earlier one. A last line that was cut off by a kill is left out.

    Raises InputError when a line before the last is damaged.
    """
    path = folder / FILE_NAME
    entries: dict[str, Entry] = {}
    if not path.is_file():
        return entries
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = from_json(json.loads(line))
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"{path}, line {number} is damaged: delete that line, its video will be done again") from None
        entries[entry.name] = entry
    return entries


def append(folder: Path, entry: Entry) -> None:
    """Add one line, in one write."""
    with (folder / FILE_NAME).open("a", encoding="utf-8") as stream:
        stream.write(to_line(entry))


def rewrite(folder: Path, entries: Iterable[Entry]) -> None:
    """Replace the ledger by these lines, atomically."""
    files.write_text(folder / FILE_NAME, "".join(map(to_line, entries)))


def check_finished(folder: Path, listed: Catalog, entries: dict[str, Entry]) -> None:
    """Raise InputError unless every listed video has its line: extraction has come to an end there."""
    undone = sum(video.name not in entries for video in listed.videos)
    if undone:
        raise InputError(
            f"{folder} is not finished, {undone} of {len(listed.videos)} videos are not in its ledger: "
            "run preprocess/extract_frames.py again, it goes on from there"
        )


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """How many entries are ok, failed and missing."""
    result = dict.fromkeys((OK, FAILED, MISSING), 0)
    for entry in entries:
        result[entry.status] += 1
    return result
