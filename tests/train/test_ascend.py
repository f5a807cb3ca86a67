"""What can be known of Ascend without one: what MindSpore's documentation says of each operator of a training graph."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import pytest
from mindspore import ops
from mindspore.ops import auto_generate

JOBS = Path(__file__).with_name("ascend_jobs.py")
SMALL = {"widen_factor": 0.125}
NETWORKS = [
    ("resnet3d", {"depth": 10, **SMALL}),
]
CALL = re.compile(r"^ +%\d+\(\S*\) = (?:PrimFunc_)?([A-Z]\w*)\((.*\n.*)$", re.MULTILINE)
# the graph's own bookkeeping, which no device computes
CONTROL = {"Return", "Load", "UpdateState", "Depend", "MakeTuple", "TupleGetItem", "Switch", "Partial"}


def operators(graphs: Path) -> dict[str, list[str]]:
    """Operator -> for each time that it stands in the graph that is handed to the device, its attributes and types."""
    (path,) = graphs.glob("**/*_validate_*.ir")
    found: dict[str, list[str]] = {}
    for name, rest in CALL.findall(path.read_text()):
        if name not in CONTROL:
            found.setdefault(name, []).append(rest)
    return found


def documentation(operator: str) -> str:
    """What MindSpore documents of an operator: of itself, of the function that it refers to, of the function of its name, or
    of the operator whose gradient it is."""
    found = getattr(ops.operations, operator, None) or getattr(auto_generate, operator, None)
    text = inspect.getdoc(found) or ""
    names = re.findall(r":func:`mindspore\.ops\.(\w+)`", text)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operator).lower()
    names += [words, words.removesuffix("_ext"), words.removesuffix("s")]
    text += "".join(inspect.getdoc(getattr(module, name, None)) or "" for name in names for module in (ops, ms.mint))
    forward = re.sub(r"(Grad(V\d)?|Backprop\w+)$", "", operator)
    if forward != operator:
        text += "".join(documentation(name) for name in dir(ops.operations) if name.lower() == forward.lower())
    return text


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_every_operator_of_a_training_graph_is_documented_for_ascend(
    name: str, options: dict[str, object], tmp_path: Path
) -> None:
    saving = {"MS_DEV_SAVE_GRAPHS": "1", "MS_DEV_SAVE_GRAPHS_PATH": str(tmp_path / "graphs")}
    command = [sys.executable, str(JOBS), name, json.dumps(options)]
    subprocess.run(command, cwd=tmp_path, env=os.environ | saving, check=True, capture_output=True)
    found = operators(tmp_path / "graphs")
    assert {"SGD", "BatchNorm", "BatchNormGrad"} <= found.keys()
    without = [
        operator for operator in found if not re.search(r"Supported Platforms:\s+``Ascend``", documentation(operator))
    ]
    assert without == []
    for operator, places in found.items():
        for place in places:
            if operator.startswith("Conv"):
                assert set(re.findall(r"Tensor\[(\w+)\]", place.rpartition("->")[0])) == {"Float16"}, (operator, place)
                assert "group: I64(1)" in place
                assert re.search(r" dilation: \(1(, 1)+\)", place)
            if operator.startswith("BatchNorm"):
                assert set(re.findall(r"Tensor\[(\w+)\]", place)) == {"Float32"}, (operator, place)


def test_an_operator_that_ascend_lacks_would_be_seen() -> None:
    assert "``Ascend``" not in documentation("AdaptiveMaxPool3D")
    assert documentation("NoSuchOperator") == ""
