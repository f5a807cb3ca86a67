"""Write the result files that are committed into the READMEs' tables of results and measurements.

    python scripts/readme_tables.py            # writes
    python scripts/readme_tables.py --check    # ends with 2 when a README says something else

The files are scripts/results/*.csv, as scripts/run_seeds.py writes them, a row a run; and scripts/results/*.json, as the
benchmarks scripts/bench_*.py write them with --json; scripts/results/published.csv has what others have published. The
tables stand in README.md and README_CN.md between the lines `<!-- results -->` and `<!-- end of results -->`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
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
HEADER = "| recipe | seeds | top-1, % | top-5, % | mean over classes, % | training, s | test videos | on | with | date |\n"
SAME = ["recipe", "split", "videos", "missing_videos", "device", "cores", "machine", "mindspore", "git_commit"]
EACH: dict[str, Callable[[Any], str]] = {
    "seed": str,
    **dict.fromkeys(("top1", "top5", "mean_class_accuracy"), lambda share: f"{100 * share:.1f}"),
    "train_seconds": str,
}
MEASURED_HEADER = "| measured | ours | compared with | theirs | speed-up | run |\n"
PUBLISHED_HEADER = "| PUBLISHED by others | data | of clips | top-1 | top-5 | ms a step | a second | on | source |\n"


@dataclass(frozen=True)
class Options:
    """Write the result files that are committed into the READMEs' tables of results and measurements."""

    readmes: tuple[Path, ...] = (ROOT / "README.md", ROOT / "README_CN.md")
    """The READMEs to write into."""
    check: bool = False
    """Change nothing, only compare."""


def main(options: Options) -> int:
    runs = [path for path in sorted(RESULTS.glob("*.csv")) if path.name != PUBLISHED]
    benches = sorted(RESULTS.glob("*.json"))
    tables = "\n".join(
        [
            *([table(runs)] if runs else []),
            published(RESULTS / PUBLISHED),
            *([measurements(benches)] if benches else []),
        ]
    )
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
    """The runs of these files as one Markdown table, a row for the seeds of a recipe on a machine."""
    rows = []
    for path in paths:
        runs = pd.read_csv(path, dtype={"git_commit": str})
        for of, seeds in runs.groupby(SAME, sort=False):
            row: dict[str, Any] = dict(zip(SAME, of, strict=True))
            rows.append(
                [
                    f"`{row['recipe']}`, split {row['split']}",
                    *(", ".join(map(shown, seeds[name])) for name, shown in EACH.items()),
                    f"{row['videos']} of {row['videos'] + row['missing_videos']} listed",
                    f"{row['device']}, {row['cores']} cores, {row['machine']}",
                    f"MindSpore {row['mindspore']}, commit {short_commit(row['git_commit'])}",
                    ", ".join(sorted(set(seeds["date"]))),
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


def measurements(paths: list[Path]) -> str:
    """The figures of these benchmarks as one Markdown table, and below it what each was measured on."""
    rows, runs = [], []
    for path in paths:
        found = files.read_json(path)
        try:
            run = measured_on(found)
            runs += [run] if run not in runs else []
            rows += [[*row, runs.index(run) + 1] for row in KINDS[found["kind"]](found)]
        except KeyError as lacking:
            raise InputError(f"{path} has no {lacking}: write it with --json of one of scripts/bench_*.py") from None
    return markdown(MEASURED_HEADER, rows) + "\n" + "".join(f"{i}. {run}\n" for i, run in enumerate(runs, start=1))


def measured_on(found: dict[str, Any]) -> str:
    """Date, commit, machine and versions, as a sentence."""
    on = found["measured"]
    versions = {"Python": on["python"], **on["versions"]} | ({"ffmpeg": found["ffmpeg"]} if "ffmpeg" in found else {})
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    machine = f"{on['processor']}, {on['cores']} cores, {on['memory_gb']:.0f} GB"
    return f"{on['date']}, commit {short_commit(on['git_commit'] or 'unknown')}: {machine}; {said}"


def short_commit(commit: str) -> str:
    """The first digits of a commit, and that files differed from it where they did."""
    digits, _, dirty = commit.partition("-")
    return f"{digits[:10]} with changes" if dirty else digits[:10]


def extract_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    """Rows of scripts/bench_extract.py."""
    for row in found["rows"]:
        layout = {"dir": "a file a frame", "zip": "one zip a video"}[row["layout"]]
        what = f"extracting {found['clips']} videos with --short-side {row['short_side']}, {layout}, "
        what += f"{found['processes']} processes"
        rates = [f"{number(found['clips'] / row[name])} videos/s" for name in ("ours_s", "ffmpeg_s")]
        yield [what, rates[0], "an ffmpeg process a video", rates[1], number(1 / row["ratio"])]


def pack_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    """The row of scripts/bench_pack.py."""
    what = f"packing {number(found['frame_mb'])} MB of frames, read back and hashed, {found['workers']} processes"
    rates = [f"{number(found[name])} MB/s" for name in ("pack_mb_per_s", "tar_mb_per_s")]
    yield [what, rates[0], "tar of the same files", rates[1], number(found["ours_over_tar"])]


def clip_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    """Rows of scripts/bench_stream.py."""
    what = f"{found['training_videos']} training clips of {shape(found)} of {found['dataset']} packed with --short-side "
    what += f"{found['short_side']}, {found['workers']} {found['ours_workers']}"
    theirs = f"the published MindSpore way, from files with --short-side {found['published_short_side']}, "
    theirs += f"{found['workers']} {found['published_workers']}"

    def rate(side: str) -> str:
        return f"{number(found[f'{side}_clips_per_s'])} clips/s, {number(found[f'{side}_cpu_ms_per_clip'])} CPU-ms each"

    yield [what, rate("ours"), theirs, rate("published"), number(found["ours_over_published"])]
    decoding = f"libjpeg-turbo only decoding the same frames, {found['workers']} threads"
    yield [what, rate("ours"), decoding, rate("decode"), number(found["ours_over_decode"])]


def image_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    """Rows of scripts/bench_stream.py --kind image."""
    for suffix, words in (("", "without AutoAugment"), ("_autoaugment", "with AutoAugment")):
        what = f"{found['training_videos']} training images of {found['bytes_read_per_image'] / 1e3:.0f} kB, {words}"
        rates = [f"{number(found[f'{side}_images_per_s_a_core{suffix}'])} images/s a core" for side in ("ours", "pil")]
        yield [what, rates[0], "the same through PIL", rates[1], number(found[f"ours_over_pil{suffix}"])]


def step_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    """Rows of scripts/bench_step.py."""
    for depth in found["depths"]:
        what = f"training step of ResNet3D-{depth}, batch {found['batch_size']} of {shape(found)}"
        whole = found[f"r3d{depth}_mindspore_s"]
        if found["freeze"]:
            frozen = found[f"r3d{depth}_frozen_before_{found['freeze']}_s"]
            row = [f"{what}, frozen before {found['freeze']}", frozen, "the whole step", whole]
        else:
            row = [what, whole, "PyTorch", found[f"r3d{depth}_pytorch_s"]]
        yield [row[0], f"{number(row[1])} s", row[2], f"{number(row[3])} s", number(row[3] / row[1])]


def eval_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    """The row of scripts/bench_eval.py."""
    what = f"evaluating {found['videos']} videos of {found['dataset']}, {found['windows']} windows of {shape(found)}, "
    rates = [f"{number(found['windows'] / found[name])} windows/s" for name in ("evaluation_s", "network_s")]
    yield [what + found["network"], rates[0], "the network alone", rates[1], number(1 / found["ratio"])]


def run_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    """The row of scripts/bench_run.py."""
    what = f"a whole run, {found['epochs']} epochs of {found['steps']} steps of {found['step_ms']:g} ms, "
    what += f"{found['ranks']} ranks, with ResNet3D-50's checkpoints: {found['not_steps']:.1%} of it is not steps"
    times = [f"{number(found[name])} s" for name in ("run_s", "steps_s")]
    yield [what, times[0], "the steps alone", times[1], number(found["steps_s"] / found["run_s"])]


KINDS: dict[str, Callable[[dict[str, Any]], Iterator[list[str]]]] = {
    "extract": extract_rows,
    "pack": pack_rows,
    "clip": clip_rows,
    "image": image_rows,
    "step": step_rows,
    "eval": eval_rows,
    "run": run_rows,
}


def shape(found: dict[str, Any]) -> str:
    """A clip's frames, height and width."""
    return f"{found['clip_frames']} x {found['clip_size']} x {found['clip_size']}"


def number(value: float) -> str:
    """Three digits, or all of a greater whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(header: str, rows: list[list[Any]]) -> str:
    """A table of these rows."""
    lines = [header, "|" + " --- |" * (header.count("|") - 1) + "\n"]
    return "".join([*lines, *("| " + " | ".join(map(str, row)) + " |\n" for row in rows)])


if __name__ == "__main__":
    cli.run(main, Options)
