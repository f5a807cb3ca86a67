"""What extraction and packing from videos both take: which data set, where it is, and how its frames are made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from preprocess import ledger
from preprocess.annotations import ReaderOptions, read_catalog, videos_folder
from preprocess.annotations.find_videos import Matched, match
from preprocess.catalog import Catalog
from preprocess.common.cpus import worker_count
from preprocess.common.errors import InputError
from preprocess.decoding.backends import check_backend
from preprocess.frame_settings import FrameSettings


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """A data set of videos, and what to make of it."""

    dataset: str = "ucf101"
    """Whose lists to read: ucf101, hmdb51, activitynet, kinetics400, kinetics600, kinetics700, moments, kinetics700_moments,
    json (the annotation JSON that the field exchanges), or folder (your own, video/<Class>/<name>)."""
    root: Path = Path("data/UCF101")
    """The data set's folder; holds video/ and split/, for kinetics700_moments kinetics700/ and moments/ that hold them."""
    frame_settings: Annotated[FrameSettings, tyro.conf.arg(name="")] = field(default_factory=FrameSettings)
    reader: Annotated[ReaderOptions, tyro.conf.arg(name="")] = field(default_factory=ReaderOptions)
    workers: int = 0
    """Processes; 0 takes every core this process may use."""
    cluster: str = ""
    """A Dask cluster instead of processes here: tcp://host:port of its scheduler, or local:N."""
    video_timeout: float = 600.0
    """Seconds after which a video that is not decoded counts as failed: a decoder may hang on a damaged file. 0 sets no
    limit."""
    allow_missing: bool = False
    """Listed videos that are not on disk are counted and left out, instead of ending with exit code 2."""
    max_failures: str = "0"
    """How many videos, or what share of those on disk (as 5%), may fail to decode before the exit code is 2. The others
    are done in any case."""

    @property
    def videos(self) -> Path:
        """The folder that the listed paths are relative to."""
        return videos_folder(self.dataset, self.root)

    def check(self) -> None:
        """Check what the types do not.

        Raises:
            InputError: a value is out of range, or the backend is not on this machine.
        """
        worker_count(self.workers)
        if not 0 <= self.video_timeout < math.inf:
            raise InputError(f"--video-timeout {self.video_timeout:g} is not a number of seconds, 0 or more")
        allowed_failures(self.max_failures, 0)
        check_backend(self.frame_settings.backend)

    def find_videos(self) -> tuple[Catalog, Matched]:
        """Read the lists and find their videos.

        Raises:
            InputError: the lists cannot be read, or none of their videos is there.
        """
        listed = read_catalog(self.dataset, self.root, self.reader)
        matched = match(listed, self.videos)
        if not matched.found:
            raise InputError(
                f"none of the {len(listed.videos)} listed videos is under {self.videos}: "
                f"the first would be {self.videos / listed.videos[0].path}"
            )
        return listed, matched

    def missing(self, matched: Matched) -> dict[str, ledger.Entry]:
        """The ledger's entries of the videos that are not on disk, by name."""
        return {
            video.name: ledger.Entry(
                class_name=video.class_name,
                video_id=video.video_id,
                path=video.path,
                status=ledger.MISSING,
                reason=f"not under {self.videos}",
            )
            for video in matched.missing
        }

    def check_outcome(self, *, failed: int, done: int, missing: int, see: str) -> None:
        """Check that no more videos failed or are missing than is allowed; `see` says where those that failed are named.

        Raises:
            InputError: more failed, or are missing. The others are done.
        """
        check_failed(self.max_failures, failed=failed, done=done, see=see)
        if missing and not self.allow_missing:
            raise InputError(
                f"{missing} of {done + failed + missing} listed videos are not under {self.videos}; the others are done. "
                "If that is meant, pass --allow-missing"
            )


def check_failed(max_failures: str, *, failed: int, done: int, see: str) -> None:
    """Check that no more videos or images failed than is allowed; `see` says where they are named.

    Raises:
        InputError: more failed. The others are done.
    """
    if failed > allowed_failures(max_failures, done + failed):
        raise InputError(f"{failed} failed, --max-failures is {max_failures}: see {see}; the others are done")


def allowed_failures(text: str, found: int) -> int:
    """`--max-failures` as a number of the `found` videos.

    Raises:
        InputError: it is neither a count nor a percentage.
    """
    parts = re.fullmatch(r"(\d+)(%?)", text)
    if parts is None:
        raise InputError(f"--max-failures {text} is neither a count nor a percentage, such as 3 or 5%")
    return found * int(parts[1]) // 100 if parts[2] else int(parts[1])
