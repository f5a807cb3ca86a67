"""One row of a shard: one video, or one segment of a long one."""

from __future__ import annotations

from typing import Any

VERSION = 3
READABLE = (2, VERSION)

# MindRecord's type of each field. `offsets` has one number more than the row has frames: its frame i, which is frame
# `first_frame + i` of the `video_frames` of the video, both 0-based, is `jpegs[offsets[i]:offsets[i + 1]]`, one JPEG. All
# rows of a video follow each other in one shard. `flags` has one number a split: 0 unused, 1 train, 2 test. `group` is the
# film or source video; schema 2 does not have it.
FIELDS: dict[str, dict[str, Any]] = {
    "class_name": {"type": "string"},
    "video_id": {"type": "string"},
    "label": {"type": "int32"},
    "group": {"type": "string"},
    "flags": {"type": "int32", "shape": [-1]},
    "fps": {"type": "float64"},
    "first_frame": {"type": "int32"},
    "video_frames": {"type": "int32"},
    "offsets": {"type": "int64", "shape": [-1]},
    "jpegs": {"type": "bytes"},
}

# The fields that are in a shard's index too: what `mindrecord.shard_reader` needs to know of a row without reading it.
INDEXED = ["class_name", "video_id", "label", "group", "first_frame", "video_frames"]
