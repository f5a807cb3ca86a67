"""The ledger of a frames folder: one line of JSON a listed video. found = ok + failed + missing, always."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preprocess.catalog import Catalog, VideoKey
from preprocess.common.errors import InputError
from preprocess.common.journal import Journal

FILE_NAME = "ledger.jsonl"
OK, FAILED, MISSING = "ok", "failed", "missing"


@dataclass(frozen=True, kw_only=True)
class Entry(VideoKey):
    """What became of one video. Sizes in pixels or bytes; counts and sizes of what was not reached are 0.

    `declared_frames` is the header's count and `decoded_frames` how many came out: headers lie. The second is 0 where the
    selection ended before the video did. `stored_frames` is the number of JPEGs, of the frames that were selected.
    `width` and `height` are the source's, `frame_width` and `frame_height` the JPEGs'. The hashes are of the video file and
    of its JPEGs one after the other.
    """

    path: str
    status: str
    reason: str = ""
    segment_s: tuple[float, float] | None = None
    declared_frames: int = 0
    decoded_frames: int = 0
    stored_frames: int = 0
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
    def header_is_wrong(self) -> bool:
        """Whether the video was decoded to its end, and its header has another count."""
        return 0 not in (self.declared_frames, self.decoded_frames) and self.declared_frames != self.decoded_frames


def to_line_of_schema_2(entry: Entry) -> str:
    """The line that a frames folder of schema 2 had, which does not tell decoded from stored frames."""
    value = asdict(entry)
    value["decoded_frames"] = value.pop("stored_frames")
    return json.dumps(value, ensure_ascii=False) + "\n"


def from_json(value: dict[str, Any]) -> Entry:
    """An entry as `asdict` and JSON have it."""
    segment = value.get("segment_s")
    if "stored_frames" not in value:
        value = value | {"stored_frames": value.get("decoded_frames", 0), "decoded_frames": 0}
    return Entry(**value | {"segment_s": tuple(segment) if segment else None})


def journal(folder: Path) -> Journal[Entry]:
    """The ledger's file. A later line of a video replaces an earlier one."""
    return Journal(folder / FILE_NAME, from_json, asdict, "delete that line, its video will be done again")


def read(folder: Path) -> dict[str, Entry]:
    """The entries by name.

    Raises:
        InputError: a line is damaged.
    """
    return {entry.name: entry for entry in journal(folder).read()}


def check_finished(folder: Path, listed: Catalog, entries: dict[str, Entry]) -> None:
    """Check that every listed video has its line, that is, that extraction is finished.

    Raises:
        InputError: it is not.
    """
    undone = sum(video.name not in entries for video in listed.videos)
    if undone:
        raise InputError(
            f"{folder} is not finished, {undone} of {len(listed.videos)} videos are not in its ledger: "
            "run preprocess/extract_frames.py again, it resumes there"
        )


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """How many entries are ok, failed and missing."""
    result = dict.fromkeys((OK, FAILED, MISSING), 0)
    for entry in entries:
        result[entry.status] += 1
    return result
