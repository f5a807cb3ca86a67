"""Split files: small tables of words, read by pandas."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from preprocess.common.errors import InputError


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read lines of words separated by white space (CR LF, LF and trailing blanks alike) into text columns.

    Words that a line lacks are empty texts. Raises InputError when the file is missing, empty, or has longer lines.
    """
    try:
        table = pd.read_csv(
            path,
            sep=r"\s+",
            header=None,
            names=columns,
            index_col=False,
            dtype=str,
            quoting=csv.QUOTE_NONE,
            keep_default_na=False,
            na_values=[],
            on_bad_lines="error",
        )
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the official lists belong into {path.parent}") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a list of {' '.join(columns)}: {str(error).strip()}") from None
    if table.empty:
        raise InputError(f"{path} is empty: it should have lines of {' '.join(columns)}")
    return table.fillna("")
