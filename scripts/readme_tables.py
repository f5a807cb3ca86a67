"""Write the result files that are committed into the README's table of results.

    python scripts/readme_tables.py            # writes
    python scripts/readme_tables.py --check    # ends with 2 when the README says something else

The files are scripts/results/*.csv, as scripts/seeds.py writes them, a row a run. The table stands in README.md between the
lines `<!-- results -->` and `<!-- end of results -->`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(ROOT)

import pandas as pd

from preprocess.common import cli, files
from preprocess.common.errors import InputError

RESULTS = ROOT / "scripts/results"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
HEADER = "| recipe | seed | top-1 | top-5 | mean over classes | test videos | training | on | with | date |\n"


@dataclass(frozen=True)
class Options:
    """Write the result files that are committed into the README's table of results."""

    readme: Path = ROOT / "README.md"
    """The README to write into."""
    check: bool = False
    """Change nothing, only compare."""


def main(options: Options) -> int:
    text = options.readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"{options.readme} has not one {BEGIN.strip()} and one {END.strip()}")
    before, rest = text.split(BEGIN)
    written = before + BEGIN + table(sorted(RESULTS.glob("*.csv"))) + END + rest.split(END)[1]
    if options.check and written != text:
        raise InputError(f"{options.readme} does not show what {RESULTS} has: run python scripts/readme_tables.py")
    if not options.check:
        files.write_text(options.readme, written)
    return 0


def table(paths: list[Path]) -> str:
    """The runs of these files as one Markdown table."""
    lines = [HEADER, "|" + " --- |" * (HEADER.count("|") - 1) + "\n"]
    for path in paths:
        for row in pd.read_csv(path).to_dict("records"):
            cells = [
                f"`{row['recipe']}`, split {row['split']}",
                row["seed"],
                *(f"{row[name]:.1%}" for name in ("top1", "top5", "mean_class_accuracy")),
                row["videos"],
                f"{row['train_seconds']} s",
                f"{row['device']}, {row['cores']} cores, {row['machine']}",
                f"MindSpore {row['mindspore']}",
                row["date"],
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |\n")
    return "".join(lines)


if __name__ == "__main__":
    cli.run(main, Options)
