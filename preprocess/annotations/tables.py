"""Split files: tables of words (read by pandas) and of comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess.common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read lines of words separated by white space (CR LF, LF and trailing blanks alike) into text columns.

    Words that a line lacks are empty texts.

    Raises:
        InputError: the file is missing, empty, or has longer lines.
    """
    import pandas as pd  # half a second, which data sets without such lists need not wait for

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


def read_csv(path: Path, columns: Sequence[str], header: bool) -> list[tuple[int, list[str]]]:
    """Read comma-separated values: for each line that is not blank its number, from 1, and its values of `columns`.

    With `header` the first line names the columns, in any order and with others besides them; without it a line holds
    exactly `columns`. A byte order mark, CR LF and quotes are understood. Lines are counted as an editor counts them, which
    is why this is the csv module and not pandas, whose tables do not know them.

    Raises:
        InputError: the file is missing or empty, lacks a column, has a line of another length, or is not UTF-8.
    """
    rows: list[tuple[int, list[str]]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            names = next(reader, []) if header else list(columns)
            if absent := [name for name in columns if name not in names]:
                raise InputError(f"{path}, line 1: no column {', '.join(absent)}; it should name {','.join(columns)}")
            places = [names.index(name) for name in columns]
            for words in reader:
                if not words:
                    continue
                if len(words) != len(names):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(words)} values, not the {len(names)} of {','.join(names)}"
                    )
                rows.append((reader.line_num, [words[place].strip() for place in places]))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the official lists belong into {path.parent}") from None
    except (csv.Error, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path} is not a list of {','.join(columns)}: {error}") from None
    if not rows:
        raise InputError(f"{path} is empty: it should have lines of {','.join(columns)}")
    return rows
