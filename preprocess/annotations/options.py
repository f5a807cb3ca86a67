"""What a reader may be told beside the root folder."""

from __future__ import annotations

import re
from dataclasses import dataclass

from preprocess.common.errors import InputError

RANDOM, GROUP = "random", "group"
ORIGINAL, STABILISED = "original", "stabilised"
GROUP_PATTERN = "(.+)_[^_]*"


@dataclass(frozen=True)
class ReaderOptions:
    """`split_by`, `seed` and `group_pattern` say how the data set `folder` is split, `hmdb51_release` which videos of HMDB51
    are in its folder: the original or the stabilised ones, which have the same names and lists."""

    split_by: str = RANDOM
    seed: int = 0
    group_pattern: str = GROUP_PATTERN
    hmdb51_release: str = ORIGINAL

    def check(self, dataset: str) -> None:
        """Raise InputError on a value that is not one, or that means nothing for the data set."""
        if self.split_by not in (RANDOM, GROUP):
            raise InputError(f"--split-by {self.split_by} is not known: it is {RANDOM} or {GROUP}")
        if self.hmdb51_release not in (ORIGINAL, STABILISED):
            raise InputError(f"--hmdb51-release {self.hmdb51_release} is not known: it is {ORIGINAL} or {STABILISED}")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed} is not 0 or more")
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise InputError(f"--group-pattern {self.group_pattern} is not a regular expression: {error}") from None
        if groups == 0:
            raise InputError(f"--group-pattern {self.group_pattern} needs parentheses around the part that is the group")
        if dataset != "folder" and (self.split_by, self.seed, self.group_pattern) != (RANDOM, 0, GROUP_PATTERN):
            raise InputError(
                f"--split-by, --seed and --group-pattern are for --dataset folder: {dataset} has lists that say its splits"
            )
        if dataset != "hmdb51" and self.hmdb51_release != ORIGINAL:
            raise InputError(f"--hmdb51-release {self.hmdb51_release} means nothing for --dataset {dataset}: leave it out")

    def recorded(self, dataset: str) -> dict[str, str]:
        """What of this the frames depend on, for the settings that a frames folder records and refuses to mix."""
        return {"hmdb51_release": self.hmdb51_release} if dataset == "hmdb51" else {}
