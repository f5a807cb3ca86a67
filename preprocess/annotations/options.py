"""What a reader may be told besides the root folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from preprocess.common.errors import InputError

RANDOM: Literal["random"] = "random"
GROUP: Literal["group"] = "group"
ORIGINAL: Literal["original"] = "original"
GROUP_PATTERN = "(.+)_[^_]*"


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """How `folder` is split, and which release of HMDB51 is read."""

    split_by: Literal["random", "group"] = RANDOM
    """For folder: random, a fifth of each class's clips is drawn for testing, or group, clips of one group stay together."""
    split_seed: int = 0
    """For folder: seed of that draw."""
    group_pattern: str = GROUP_PATTERN
    """For folder: a regular expression that fits a file's name without its suffix and has the group in parentheses; as it
    is, all before the last underscore. A name that it does not fit is a group of its own."""
    hmdb51_release: Literal["original", "stabilised"] = ORIGINAL
    """For hmdb51: whether the videos are those of the original or the stabilised release; names and lists are the same."""

    def check(self, dataset: str) -> None:
        """Check the values, and that they mean something for the data set.

        Raises:
            InputError: one does not.
        """
        if self.split_seed < 0:
            raise InputError(f"--split-seed {self.split_seed} is not 0 or more")
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise InputError(f"--group-pattern {self.group_pattern} is not a regular expression: {error}") from None
        if groups == 0:
            raise InputError(f"--group-pattern {self.group_pattern} needs parentheses around the part that is the group")
        if dataset != "folder" and (self.split_by, self.split_seed, self.group_pattern) != (RANDOM, 0, GROUP_PATTERN):
            raise InputError(
                "--split-by, --split-seed and --group-pattern are for --dataset folder: "
                f"{dataset} has lists that say its splits"
            )
        if dataset != "hmdb51" and self.hmdb51_release != ORIGINAL:
            raise InputError(f"--hmdb51-release {self.hmdb51_release} means nothing for --dataset {dataset}: leave it out")
