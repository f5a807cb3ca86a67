"""The one exception that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something the user gave cannot be used. The message is one line: what, where, what was expected, what to do."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean X?"` for the known name most like `word`, else the full stop that ends the sentence so far."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "."
