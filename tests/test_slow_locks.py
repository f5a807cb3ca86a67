"""Every lock file installs on an Ascend host, which is aarch64. Needs the package index."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

COMMAND = re.search(
    r"^    (pip install --dry-run .*)$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_pip_finds_wheels_for_all_that_an_ascend_host_installs(python: str) -> None:
    """By the command of CONTRIBUTING; requirements-dev.lock is not in it, for pip takes the markers of this machine."""
    assert COMMAND
    words = COMMAND[1].replace("3.11", python).split()[1:]
    locks = [path.name for path in ROOT.glob("requirements*.lock") if path.name != "requirements-dev.lock"]
    assert sorted(word for word in words if word.endswith(".lock")) == sorted(locks)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Would install" in done.stdout
