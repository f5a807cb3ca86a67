"""What train/doctor.py finds: a line for each thing that has to be right, with the remedy where it is not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from preprocess.common.errors import InputError

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the output: state, subject, text, and unless the state is ok a remedy."""

    state: str
    what: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what:<10} {self.text}{f': {self.remedy}' if self.remedy else ''}"


def error_of(what: str, error: InputError) -> Finding:
    """A refusal as a finding: what is wrong, and the remedy behind its last colon."""
    text, _, remedy = str(error).rpartition(": ")
    return Finding(state=ERROR, what=what, text=text, remedy=remedy)


def cause(said: str) -> str:
    """The line that says why, of what a process printed that ended with an error: of a library that does not load, else of
    the first exception, else the first of all. (MindSpore's own errors end with C++ call stacks.)"""
    lines = [line.strip() for line in said.splitlines() if line.strip("- ") and not line.startswith("[")]
    for line in lines:
        if found := re.search(r"[\w.+-]+: cannot open shared object file: [\w ]+|(?<=failed\. )lib.*", line):
            return found[0]
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        if found := re.match(r"(?:\w+\.)*(\w+(?:Error|Exception)): ?(.*)", line):
            return f"{found[1]}: {found[2] or following}"
    return lines[0] if lines else "it was killed"
