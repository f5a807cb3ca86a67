"""Every command that a README shows: it is accepted as it stands, and it runs, on little data."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import readme_workspace
from conftest import ROOT, SHARED, run_here, without_workers

from preprocess.common import cli
from preprocess.common.errors import InputError

READMES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("README*.md"), *ROOT.glob("[a-z]*/README.md")])
BLOCK = re.compile(r"^    ((?:[A-Z_]+=\S+ )*(?:python|sh|msrun) .+)$", re.MULTILINE)
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:\.venv/bin/python|python|sh|msrun)\s[^`]+)`")
SCRIPT = re.compile(r"\S+\.(?:py|sh)(?=\s|$)")
NEEDS = ("# needs Ascend", "# needs the data set")
OPTIONS_OF = {"preprocess.extract_frames": "preprocess.extract_dataset", "mindrecord.build": "mindrecord.build_records"}
PASS_ON = {"scripts/train_1p.sh": "train/train.py", "scripts/train_8p.sh": "train/train.py"}


def commands(readme: str) -> list[str]:
    """The commands of a README, those that it marks as needing something aside."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    return [command for command in BLOCK.findall(text) + inline(text) if not command.rstrip().endswith(NEEDS)]


def inline(text: str) -> list[str]:
    """The commands within its sentences."""
    return [" ".join(command.split()) for command in INLINE.findall(text)]


ALL = sorted({command for readme in READMES for command in commands(readme)})


def test_there_are_commands_in_every_readme() -> None:
    assert min(len(commands(readme)) for readme in READMES) > 2


QUICKSTART = "scripts/quickstart.sh"
QUICK = ("preprocess/", "mindrecord/", "scripts/plan_host.py", "scripts/make_textures.py", "scripts/autoaugment_sheet.py")
"""Scripts of which a command takes a second or two here."""
ELSEWHERE = {
    "sh scripts/test.sh": "it runs the tests",
    "sh scripts/quickstart.sh": "test_slow_quickstart.py runs it",
    "sh scripts/setup.sh requirements.lock requirements-ascend.lock": "test_slow_locks.py looks for the wheels",
    "sh scripts/accept.sh work/records": "scripts/test_accept.py runs it",
    "python eval/predict.py --camera 0 --checkpoint CKPT": "there is no camera; eval/test_use.py reads a file in its place",
    "python preprocess/extract_frames.py --root data/UCF101 --out work/frames --cluster tcp://scheduler:8786": "there is no "
    "such host; preprocess/test_executors.py has a scheduler of its own",
}
SMALLER = {
    "train/train.py": {
        "--batch-size": "2",
        "--clip.size": "24",
        "--clip.test-short-side": "0",
        "--model.widen-factor": "0.125",
        "--epochs": "1",
        "--schedule.warmup-epochs": "0",
    },
    "train/profile_step.py": {
        "--steps": "1",
        "--batch-size": "2",
        "--clip.size": "24",
        "--clip.test-short-side": "0",
        "--model.widen-factor": "0.125",
    },
    "images": {
        "--batch-size": "8",
        "--clip.size": "32",
        "--clip.test-short-side": "36",
        "--model.width": "0.125",
        "--epochs": "1",
        "--schedule.warmup-epochs": "0",
    },
    "scripts/run_seeds.py": {"--seeds": "1"},
    "scripts/bench_extract.py": {"--short-sides": "48", "--pairs": "1"},
    "scripts/bench_pack.py": {"--pairs": "1"},
    "scripts/bench_stream.py": {"--repeats": "1", "--epochs": "1"},
    "scripts/bench_run.py": {"--epochs": "2", "--step-ms": "10"},
    "scripts/bench_eval.py": {"--videos": "2", "--pairs": "1"},
    "scripts/bench_step.py": {"--depths": "18", "--repeats": "1", "--steps": "1", "--batch-size": "1"},
    "scripts/make_textures.py": {"--train": "2", "--val": "1"},
}
"""Options that make a command a matter of seconds; it keeps those that it has."""
IMAGES = "python train/train.py --recipe train/recipes/quick_images.yaml --records work/textures_records"
CONVERT = "python train/convert.py r3d50_KM_200ep.pth --out r3d50_KM.ckpt"
AFTER = {"--records work/imagenet": IMAGES, "--pretrained r3d50_KM.ckpt": CONVERT}
"""What of a command needs another to have run before."""
PLACEHOLDERS = {
    "[RECORDS]": "work/records",
    "[options]": "--recipe train/recipes/quick_cpu.yaml",
    "[DATA_PATH]": "work/records",
    "[DEVICE_NUM]": "2",
    "[DEVICE_ID]": "0",
    "[CKPT_PATH]": "A/last.ckpt",
    "CKPT": "A/last.ckpt",
}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the commands start from."""
    folder = tmp_path_factory.mktemp("readme") / "workspace"
    folder.mkdir()
    with without_workers():
        readme_workspace.make(folder)
    return folder


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Path:
    """A copy of it, with weights in the published format where they are."""
    folder = tmp_path / "workspace"
    shutil.copytree(template, folder, symlinks=True)
    if SHARED.is_dir():
        shutil.copy(SHARED / "reference/r3d50_w0125.pth", folder / "r3d50_KM_200ep.pth")
    return folder


def rows() -> list[Any]:
    """Every command but those that run elsewhere; slow where MindSpore has to compile or a new process has to start."""
    return [
        pytest.param(command, marks=() if SCRIPT.search(command)[0].startswith(QUICK) else pytest.mark.slow)
        for command in ALL
        if plain(command) not in ELSEWHERE
    ]


def plain(command: str) -> str:
    """A command without the remark behind it."""
    return " ".join(command.partition("#")[0].split())


@pytest.mark.usefixtures("workers_here")
@pytest.mark.parametrize("command", rows())
def test_a_command_of_a_readme_runs(command: str, workspace: Path) -> None:
    if "r3d50_KM" in command and not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: it holds weights in the published format")
    for needs, first in AFTER.items():
        if needs in command:
            run_row(first, workspace)
    run_row(command, workspace)


def run_row(command: str, workspace: Path) -> None:
    """Run a command as the README shows it, but for its size."""
    script = SCRIPT.search(command)[0]
    words = shlex.split(plain(command))
    words = [word for shown in words for word in shlex.split(PLACEHOLDERS.get(shown, shown))]
    size_of = "images" if "quick_images" in command else PASS_ON.get(script, script)
    if "--resume" not in words:
        words += [word for name, value in SMALLER.get(size_of, {}).items() if name not in words for word in (name, value)]
    make_room(words, workspace)
    variables = dict(word.split("=", 1) for word in itertools.takewhile(lambda word: "=" in word, words))
    words = words[len(variables) :]
    if words[0].endswith("python"):
        done = run_here(script, words[2:], workspace)
    else:
        devices = "1" if "--resume" in words else "2"  # the run was one process's
        environment = {"DEVICE_TARGET": "CPU", "DEVICES": devices, "PYTHON": sys.executable} | variables
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            words,
            cwd=checkout(workspace) if script == QUICKSTART else workspace,
            env=os.environ | environment | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    if script == "scripts/bench_step.py" and importlib.util.find_spec("torch") is None and "--freeze" not in words:
        assert "PyTorch is not installed" in done.stderr
    elif script in ("scripts/run_standalone_train.sh", "scripts/run_distribute_train.sh"):
        assert "34 training videos, a batch is 128" in done.stderr  # they take no options that would make it smaller
    elif script == "train/doctor.py":
        assert "errors, " in done.stdout  # a machine of tests is not one to train this on
    else:
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def checkout(workspace: Path) -> Path:
    """A copy of the project, in which the quickstart works, with the workspace's PATH."""
    copy = workspace / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "work", "data"))
    (copy / ".venv").symlink_to(sys.prefix)
    (copy / "PATH").symlink_to(workspace / "PATH")
    return copy


def make_room(words: list[str], workspace: Path) -> None:
    """Remove what the command is about to write."""
    for option in ("--out", "--json"):
        if option in words:
            path = workspace / words[words.index(option) + 1]
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)


def test_what_runs_elsewhere_is_shown() -> None:
    assert set(ELSEWHERE) <= set(map(plain, ALL))


@pytest.mark.parametrize("command", [command for command in ALL if SCRIPT.search(command)[0].endswith(".py")])
def test_a_command_has_the_options_that_a_readme_gives_it(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where recipes are
    script = SCRIPT.search(command)[0]
    name = script.removesuffix(".py").replace("/", ".")
    module = importlib.import_module(OPTIONS_OF.get(name, name))
    arguments = shlex.split(command[command.index(script) + len(script) :], comments=True)
    if "--resume" in arguments:  # reads the run that it names
        with pytest.raises(InputError, match=r"has no config\.yaml"):
            module.parse(arguments)
    elif hasattr(module, "parse"):
        module.parse(arguments)
    else:
        cli.parse(module.Options, arguments)


def test_both_languages_show_the_same_commands_and_figures() -> None:
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README_CN.md"))
    assert BLOCK.findall(english) == BLOCK.findall(chinese)
    assert set(inline(english)) == set(inline(chinese))
    assert english.count("\n## ") == chinese.count("\n## ")
    assert len(re.findall(r"^\|", english, re.MULTILINE)) == len(re.findall(r"^\|", chinese, re.MULTILINE))
    assert set(re.findall(r"\d[\d,.]*\d", english)) == set(re.findall(r"\d[\d,.]*\d", chinese))
