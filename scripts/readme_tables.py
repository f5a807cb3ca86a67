"""Write the result files that are committed into the READMEs' tables of results.

    python scripts/readme_tables.py            # writes
    python scripts/readme_tables.py --check    # ends with 2 when a README says something else

The files are scripts/results/*.csv, as scripts/seeds.py writes them, a row a run; scripts/results/published.csv has what
others have published. The tables stand in README.md and README_CN.md between the lines `<!-- results -->` and
`<!-- end of results -->`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(ROOT)

import pandas as pd

from preprocess.common import cli, files
from preprocess.common.errors import InputError

RESULTS = ROOT / "scripts/results"
PUBLISHED = "published.csv"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
HEADER = "| recipe | seed | top-1 | top-5 | mean over classes | test videos | training | on | with | date |\n"
PUBLISHED_HEADER = "| PUBLISHED by others | data | of clips | top-1 | top-5 | ms a step | a second | on | source |\n"


@dataclass(frozen=True)
class Options:
    """Write the result files that are committed into the READMEs' tables of results."""

    readmes: tuple[Path, ...] = (ROOT / "README.md", ROOT / "README_CN.md")
    """The READMEs to write into."""
    check: bool = False
    """Change nothing, only compare."""


def main(options: Options) -> int:
    ours = [path for path in sorted(RESULTS.glob("*.csv")) if path.name != PUBLISHED]
    tables = f"{table(ours)}\n{published(RESULTS / PUBLISHED)}" if ours else published(RESULTS / PUBLISHED)
    for readme in options.readmes:
        text = readme.read_text(encoding="utf-8")
        if text.count(BEGIN) != 1 or text.count(END) != 1:
            raise InputError(f"{readme} has not one {BEGIN.strip()} and one {END.strip()}")
        before, rest = text.split(BEGIN)
        written = before + BEGIN + tables + END + rest.split(END)[1]
        if options.check and written != text:
            raise InputError(f"{readme} does not show what {RESULTS} has: run python scripts/readme_tables.py")
        if not options.check:
            files.write_text(readme, written)
    return 0


def table(paths: list[Path]) -> str:
    """The runs of these files as one Markdown table."""
    rows = []
    for path in paths:
        for row in pd.read_csv(path).to_dict("records"):
            rows.append(
                [
                    f"`{row['recipe']}`, split {row['split']}",
                    row["seed"],
                    *(f"{row[name]:.1%}" for name in ("top1", "top5", "mean_class_accuracy")),
                    row["videos"],
                    f"{row['train_seconds']} s",
                    f"{row['device']}, {row['cores']} cores, {row['machine']}",
                    f"MindSpore {row['mindspore']}",
                    row["date"],
                ]
            )
    return markdown(HEADER, rows)


def published(path: Path) -> str:
    """What others have published, as a Markdown table that says so."""
    rows = []
    for row in pd.read_csv(path).to_dict("records"):
        shares = ["" if pd.isna(row[name]) else f"{row[name]:.1%}" for name in ("clip_top1", "top1", "top5")]
        rows.append([row["network"], row["data"], *shares, *(row[n] for n in ("ms_per_step", "per_second", "on", "source"))])
    return markdown(PUBLISHED_HEADER, rows)


def markdown(header: str, rows: list[list[Any]]) -> str:
    """A table of these rows."""
    lines = [header, "|" + " --- |" * (header.count("|") - 1) + "\n"]
    return "".join([*lines, *("| " + " | ".join(map(str, row)) + " |\n" for row in rows)])


if __name__ == "__main__":
    cli.run(main, Options)
