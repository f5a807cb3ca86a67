"""What the READMEs name is there: links, files, recipes, and the messages that one is told to look for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT
from test_readme_commands import READMES

LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
NAMED = re.compile(r"`(\w[\w./*-]*\.(?:py|sh|md|lock|in)|(?:scripts|train|eval|preprocess|mindrecord)/[\w./*-]+)`")
SYMPTOMS = re.compile(r"^## (?:Troubleshooting|故障排除)\n(.*?)^## ", re.MULTILINE | re.DOTALL)
SOURCES = "".join(
    path.read_text(encoding="utf-8")
    for folder in ("preprocess", "mindrecord", "train", "eval")
    for path in sorted((ROOT / folder).rglob("*.py"))
)


def text_of(readme: str) -> str:
    return (ROOT / readme).read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """What its headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("readme", [*READMES, "CONTRIBUTING.md"])
def test_links_lead_to_files_and_headings_that_are_there(readme: str) -> None:
    for path, anchor in LINK.findall(text_of(readme)):
        target = (ROOT / readme).parent / path if path else ROOT / readme
        assert target.exists(), f"{readme} links to {path}"
        assert not anchor or anchor in anchors(target), f"{readme} links to {path}#{anchor}"


@pytest.mark.parametrize("readme", [*READMES, "CONTRIBUTING.md"])
def test_files_of_the_project_that_are_named_are_there(readme: str) -> None:
    here = (ROOT, (ROOT / readme).parent, ROOT / "scripts")
    for name in NAMED.findall(text_of(readme)):
        assert any(list(folder.glob(name)) for folder in here), f"{readme} names {name}"


def test_the_folder_map_has_every_folder() -> None:
    for readme in ("README.md", "README_CN.md"):
        named = set(re.findall(r"^\| (?:\[)?([a-z]+)/", text_of(readme), re.MULTILINE))
        assert named == {path.parent.name for path in ROOT.glob("[a-z]*/*") if path.suffix == ".py"} | {"scripts", "tests"}


def test_every_recipe_is_explained_and_every_recipe_named_is_there() -> None:
    there = {path.stem for path in (ROOT / "train/recipes").glob("*.yaml")}
    table = text_of("train/README.md").partition("| recipe |")[2].partition("\n\n")[0]
    first_column = " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first_column)) == there
    for readme in READMES:
        assert set(re.findall(r"\b(\w+_(?:r3d\d+|glore3?d?50)\w*)(?=\.yaml|`)", text_of(readme))) <= there


@pytest.mark.parametrize("readme", ["README.md", "README_CN.md"])
def test_the_messages_that_troubleshooting_quotes_are_those_of_the_commands(readme: str) -> None:
    quoted = re.findall(r"^\| [^|`]*`([^`|]+)`", SYMPTOMS.search(text_of(readme))[1], re.MULTILINE)
    fixed = [re.split(r"\d|\.\.\.|nan", message)[0].strip() for message in quoted]  # before the first value
    assert len(fixed) > 3
    assert [words for words in fixed if f'"{words}' not in SOURCES and f" {words} " not in SOURCES] == []
