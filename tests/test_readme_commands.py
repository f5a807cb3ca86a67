"""Every command that a README shows: it is accepted as it stands, and some test runs it."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

from preprocess.common import cli
from preprocess.common.errors import InputError

READMES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("README*.md"), *ROOT.glob("[a-z]*/README.md")])
BLOCK = re.compile(r"^    ((?:[A-Z_]+=\S+ )*(?:python|sh|msrun) .+)$", re.MULTILINE)
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:\.venv/bin/python|python|sh|msrun)\s[^`]+)`")
SCRIPT = re.compile(r"\S+\.(?:py|sh)(?=\s|$)")
NEEDS = ("# needs Ascend", "# needs the data set")
OPTIONS_OF = {"preprocess.extract_frames": "preprocess.extract_dataset", "mindrecord.build": "mindrecord.build_records"}
PASS_ON = {"scripts/train_1p.sh": "train/train.py", "scripts/train_8p.sh": "train/train.py"}
RUNS_THE_TESTS = "scripts/test.sh"


def commands(readme: str) -> list[str]:
    """The commands of a README, those that it marks as needing something aside."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    return [command for command in BLOCK.findall(text) + inline(text) if not command.rstrip().endswith(NEEDS)]


def inline(text: str) -> list[str]:
    """The commands within its sentences."""
    return [" ".join(command.split()) for command in INLINE.findall(text)]


ALL = sorted({command for readme in READMES for command in commands(readme)})
SCRIPTS = sorted({SCRIPT.search(command)[0] for command in ALL})
TESTS = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)}


def test_there_are_commands_in_every_readme() -> None:
    assert min(len(commands(readme)) for readme in READMES) > 2


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_test_runs_what_a_readme_shows(script: str) -> None:
    assert (ROOT / script).is_file()
    if script == RUNS_THE_TESTS:
        return
    assert those_that_run(script), f"no test runs {script}"


def those_that_run(script: str) -> str:
    """The text of the test files that run a script, as a command or by its `main`."""
    name = Path(script)
    runs = re.compile(rf"{re.escape(script)}|\b{name.stem}\.sh|from {name.parent.as_posix()} import .*\b{name.stem}\b")
    return "".join(text for text in TESTS.values() if runs.search(text))


@pytest.mark.parametrize("command", ALL)
def test_the_tests_of_a_command_give_it_the_options_and_the_data_set_that_a_readme_shows(command: str) -> None:
    script = SCRIPT.search(command)[0]
    text = those_that_run(script) + those_that_run(PASS_ON.get(script, script))
    names = re.findall(r"(?<= )--([a-z][a-z0-9-]*)", command[command.index(script) :].partition("#")[0])
    untried = [name for name in names if not re.search(rf"--{name}\b|\b{name.replace('-', '_')}=", text)]
    untried += [name for name in re.findall(r"--dataset (\w+)", command) if f'"{name}"' not in text]
    assert not untried, f"no test that runs {script} gives it {', '.join(untried)}"


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
