"""Train and evaluate a recipe with several seeds and write a table of what came out.

    python scripts/run_seeds.py --recipe train/recipes/quick_cpu.yaml --records work/quickstart/records \
        --out work/quick_cpu.csv

Each seed is one run of train/train.py and one of eval/evaluate.py, as a user runs them, in turn. The runs stay in
`work/seeds/<recipe>-seed<seed>-<date>-<time>`. A committed table is named by its README: see scripts/readme_tables.py.
"""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(ROOT)

import pandas as pd

from preprocess.common import cli, files
from preprocess.common.cpus import available_cpus
from preprocess.common.errors import InputError
from preprocess.common.progress import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train and evaluate a recipe with several seeds and write a table of what came out."""

    recipe: Path
    """The recipe; its own seed is not used."""
    out: Path
    """The table to write, CSV; one that is there is replaced."""
    records: Path = Path("work/records")
    """The records folder."""
    split: str = "1"
    """Whose training and test videos."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """One run each."""
    allow_missing: bool = False
    """Evaluate although some listed test videos are not packed; the table says how many."""


def main(options: Options) -> int:
    files.check_file(options.out, "--out", ".csv")
    rows = [run(options, seed) for seed in options.seeds]
    table = pd.DataFrame(rows)
    files.write_text(options.out, table.to_csv(index=False))
    say(table[["seed", "top1", "videos", "train_seconds"]].to_string(index=False))
    return 0


def run(options: Options, seed: int) -> dict[str, object]:
    """One seed's row."""
    folder = Path("work/seeds") / f"{options.recipe.stem}-seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    shared = ["--records", str(options.records), "--split", options.split]
    began = time.monotonic()
    command("train/train.py", *shared, "--recipe", str(options.recipe), "--seed", str(seed), "--out", str(folder))
    seconds = time.monotonic() - began
    allowed = ["--allow-missing"] if options.allow_missing else []
    command("eval/evaluate.py", *shared, "--checkpoint", str(folder / "last.ckpt"), *allowed)
    found = files.read_json(folder / "report/results.json")
    on = files.read_json(folder / "provenance.json")
    return {
        "recipe": options.recipe.stem,
        "dataset": found["dataset"],
        "split": found["split"],
        "seed": seed,
        **{name: round(found[name], 6) for name in ("top1", "top5", "clip_top1", "mean_class_accuracy")},
        **{name: found[name] for name in ("videos", "missing_videos", "clips")},
        "train_seconds": round(seconds),
        "device": on["device"],
        "cores": available_cpus(),
        "machine": platform.machine(),
        "mindspore": importlib.metadata.version("mindspore"),
        "git_commit": on["git_commit"] or "unknown",
        "date": time.strftime("%Y-%m-%d"),
    }


def command(script: str, *arguments: str) -> None:
    """Run a command of the project.

    Raises:
        InputError: it fails; it has printed why.
    """
    done = subprocess.run([sys.executable, str(ROOT / script), *arguments], check=False)
    if done.returncode:
        raise InputError(f"{script} ended with {done.returncode}: the table is not written")


if __name__ == "__main__":
    cli.run(main, Options)
