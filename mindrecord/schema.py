"""One row of a shard: one video."""

from __future__ import annotations

from typing import Any

VERSION = 1

# MindRecord's type of each field. `offsets` has one number more than there are frames: frame i of the video is
# `jpegs[offsets[i]:offsets[i + 1]]`, one JPEG. `flags` has one number a split: 0 unused, 1 train, 2 test.
FIELDS: dict[str, dict[str, Any]] = {
    "class_name": {"type": "string"},
    "video_id": {"type": "string"},
    "label": {"type": "int32"},
    "flags": {"type": "int32", "shape": [-1]},
    "fps": {"type": "float64"},
    "offsets": {"type": "int64", "shape": [-1]},
    "jpegs": {"type": "bytes"},
}
