"""Rules of the house that no linter has."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

FOLDERS = ("preprocess", "mindrecord", "train", "eval", "scripts")
MODULES = {
    path: ast.parse(path.read_text(encoding="utf-8")) for name in FOLDERS for path in sorted((ROOT / name).rglob("*.py"))
}
MOST_FIELDS_BY_POSITION = 3
HEAVY = {
    "pandas",
    "tensorboardX",
    "onnxruntime",
    "imageio_ffmpeg",
    "pyarrow",
    "torch",
    "distributed",
    "safetensors",
    "pickle",
}


def name_of(path: Path) -> str:
    """A module's dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_dataclasses_of_more_than_three_fields_are_keyword_only() -> None:
    classes = {
        value
        for path in MODULES
        if path.stem != "__main__"
        for value in vars(importlib.import_module(name_of(path))).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__.split(".")[0] in FOLDERS
    }
    assert len(classes) > 80
    large = [kind for kind in classes if len(dataclasses.fields(kind)) > MOST_FIELDS_BY_POSITION]
    assert [kind for kind in large if not all(field.kw_only for field in dataclasses.fields(kind))] == []


@pytest.mark.parametrize("stage", FOLDERS[:4])
def test_no_two_modules_of_a_stage_share_a_stem(stage: str) -> None:
    paths = [path for path in MODULES if path.relative_to(ROOT).parts[0] == stage and path.stem != "__init__"]
    stems = Counter(path.stem for path in paths)
    assert [stem for stem, times in stems.items() if times > 1] == []
    assert len(paths) > 8


def imports_of(tree: ast.AST) -> set[str]:
    """The modules that a piece of code imports, names of a package's modules among them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_module_is_imported_within_a_function_to_dodge_a_circle() -> None:
    """A module of ours that is imported within a function could be imported at the top."""
    names = {name_of(path): path for path in MODULES}
    at_top = {
        name: {found for node in MODULES[path].body if not is_entry(node) for found in imports_of(node) if found in names}
        for name, path in names.items()
    }

    def reaches(start: str, goal: str) -> bool:
        seen, left = set(), [start]
        while left:
            here = left.pop()
            if here == goal:
                return True
            if here not in seen:
                seen.add(here)
                left += at_top.get(here, ())
        return False

    circles = []
    for name, path in names.items():
        for function in ast.walk(MODULES[path]):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                circles += [
                    f"{name}.{function.name} imports {found}"
                    for found in imports_of(function)
                    if found in names and reaches(found, name)
                ]
    assert circles == []


def is_entry(node: ast.AST) -> bool:
    """Whether this is what runs when the file is run."""
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


def test_every_command_puts_the_projects_root_on_the_path_before_it_imports_ours() -> None:
    """So that it runs from any folder, as `python preprocess/verify.py` does in test_pipeline."""
    commands = 0
    for path, tree in MODULES.items():
        blocks = [node for node in tree.body if is_entry(node)]
        if not blocks:
            continue
        commands += 1
        text = path.read_text(encoding="utf-8")
        ours = re.search(rf"^ *from ({'|'.join(FOLDERS)})\b", text, re.MULTILINE)
        assert "sys.path[0] = " in ast.unparse(blocks[0]), path
        assert not ours or text.index("sys.path[0] = ") < ours.start() or len(blocks) == 1, path
    assert commands > 30


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([a-z ,]+) \| ", CONTRIBUTING.partition("| not | but |")[2].partition("\n\n")[0], re.MULTILINE)
TURNS = [turn.strip() for row in ROWS for turn in row.split(",")]
TEXTS = [
    *MODULES,
    *(
        path
        for pattern in ("*.md", "[a-z]*/*.md", "scripts/*.sh", "train/recipes/*.yaml")
        for path in sorted(ROOT.glob(pattern))
        if path.name not in ("CONTRIBUTING.md", "README_CN.md")
    ),
]


def test_no_text_has_a_turn_that_contributing_lists() -> None:
    assert len(TURNS) > 10
    assert len(TEXTS) > 120
    words = re.compile(rf"\b({'|'.join(map(re.escape, TURNS))})\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if words.search(line)
    ]
    assert found == []


def test_errors_are_a_section_of_their_docstring() -> None:
    in_prose = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and re.search(r"\b[Rr]aises? [A-Z]\w*(Error|Stopped)\b", ast.get_docstring(node) or "")
    ]
    assert in_prose == []
