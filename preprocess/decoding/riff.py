"""Whether an AVI file is cut short: its RIFF header says how long it should be."""

from __future__ import annotations

from pathlib import Path


def missing_bytes(path: Path) -> int:
    """How many bytes a RIFF file (AVI) lacks of the size in its header; 0 for whole files and for other formats.

    A cut AVI decodes to its cut without any error, so this is the way to see it. RIFF: bytes 0-3 "RIFF", 4-7 the size of
    what follows, little-endian (Multimedia Programming Interface and Data Specifications 1.0, 1991). Some writers leave
    the size 0 or all ones when they are not closed; those say nothing.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    size = int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or size in (0, 0xFFFFFFFF):
        return 0
    return max(size + 8 - path.stat().st_size, 0)
