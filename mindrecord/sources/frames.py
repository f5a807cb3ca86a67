"""The frames folder that preprocess/extract_frames.py wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mindrecord.plan import PlannedRow, segment_rows
from mindrecord.sources.base import PackableVideo, PackOptions, Source, absent, hash_frames, hash_of_schema_2
from preprocess import catalog, ledger
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from preprocess.frame_store import frame_bytes, read_frames, target


@dataclass(frozen=True, kw_only=True)
class FramesOptions(PackOptions):
    """Pack the frames of a frames folder into MindRecord shards, one row a video or segment, one pack for all splits.

    With --from-videos videos are packed without frame files in between, with --dataset imagenet images: each has options of
    its own, see `build.py --from-videos --help` and `build.py --dataset imagenet --help`.
    """

    frames: Path = Path("work/frames")
    """The frames folder that preprocess/extract_frames.py wrote."""
    workers: int = 0
    """Processes; 0 takes every core this process may use. The bytes written do not depend on it."""
    cluster: str = ""
    """A Dask cluster instead of processes here: tcp://host:port of its scheduler, or local:N."""

    def check(self) -> None:
        """Check what the types do not.

        Raises:
            InputError: a value is out of range.
        """
        self.check_packing(self.workers)

    def __str__(self) -> str:
        return str(self.frames)


@dataclass(frozen=True)
class StoredFrames:
    """The `count` frames of a video in a frames folder: the folder or zip that they are in."""

    path: Path
    layout: str
    count: int

    def read(self) -> list[bytes]:
        """See `Jpegs`.

        Raises:
            InputError: a frame is not there; the first is named.
        """
        return read_frames(self.path, self.layout, self.count)

    def __str__(self) -> str:
        return str(self.path)


def frames_folder(folder: Path, segment_frames: int) -> Source:
    """A frames folder that preprocess finished. Videos to cut have the sizes of their frames looked up.

    Raises:
        InputError: it is not one, is not finished, or has no frames.
    """
    listed, written = catalog.load(folder)
    if written.assumed:
        say(written.assumed)
    entries = ledger.read(folder)
    ledger.check_finished(folder, listed, entries)
    layout = written.layout
    videos = []
    for video in listed.videos:
        entry = entries[video.name]
        if entry.status != ledger.OK:
            continue
        path = target(folder.resolve(), video.class_name, video.video_id, layout)
        rows: tuple[PlannedRow, ...] = (PlannedRow(0, entry.stored_frames, entry.jpeg_bytes),)
        if 0 < segment_frames < entry.stored_frames:
            rows = segment_rows(frame_bytes(path, layout, entry.stored_frames), segment_frames)
        jpegs = StoredFrames(path, layout, entry.stored_frames)
        videos.append(PackableVideo(video=video, fps=entry.fps, rows=rows, jpegs=jpegs))
    if not videos:
        raise InputError(f"{folder} has no video that was extracted: see {folder / ledger.FILE_NAME}")
    return Source(
        listed=listed,
        frame_settings=written.frame_settings,
        sha256=hash_frames(entries[video.name] for video in listed.videos),
        videos=tuple(videos),
        absent=absent(listed, entries),
        sha256_schema_2=hash_of_schema_2(entries[video.name] for video in listed.videos),
    )
