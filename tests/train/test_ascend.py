"""What can be known of Ascend without one: what MindSpore's documentation says of each operator of a network's graphs."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import pytest
import yaml
from mindspore import nn, ops
from mindspore.ops import auto_generate

from train.config import RECIPES

JOBS = Path(__file__).with_name("ascend_jobs.py")
NETWORKS = [  # the recipe, the network in place of its own, narrow, and the operator that updates weights
    ("quick_cpu.yaml", "resnet3d", {"depth": 10, "widen_factor": 0.125}, "AdamWeightDecay"),
    ("ucf101_r3d50_zoo.yaml", "resnet3d", {"depth": 50, "widen_factor": 0.0625, "shortcut_type": "A"}, "SGD"),
    ("ucf101_r3d50.yaml", "resnet2p1d", {"depth": 10, "widen_factor": 0.125}, "SGD"),
    ("ucf101_r3d50.yaml", "wide_resnet3d", {"widen_factor": 0.03125}, "SGD"),
    ("imagenet_glore50.yaml", "glore_resnet", {"width": 0.0625, "float16_units": False}, "ApplyMomentum"),
    ("quick_glore3d50.yaml", "glore_resnet3d", {"widen_factor": 0.0625}, "AdamWeightDecay"),
]
CALL = re.compile(r"^ +%\d+\(\S*\) = (?:PrimFunc_)?([A-Z]\w*)\((.*\n.*)$", re.MULTILINE)
# the graph's own bookkeeping, and a copy of its own
CONTROL = {"Return", "Load", "UpdateState", "Depend", "MakeTuple", "TupleGetItem", "Switch", "Partial", "TensorMove"}


def operators(graphs: Path) -> dict[str, list[str]]:
    """Operator -> for each time that it stands in the two graphs, training and scoring, that are handed to the device, its
    attributes and types."""
    found: dict[str, list[str]] = {}
    paths = list(graphs.glob("**/*_validate_*.ir"))
    assert len(paths) == 2
    for path in paths:
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
    names += [
        words,
        words.removesuffix("_ext"),
        words.removesuffix("s"),
        words.removesuffix("_scalar").removesuffix("_tensor"),
    ]
    text += "".join(inspect.getdoc(getattr(module, name, None)) or "" for name in names for module in (ops, ms.mint))
    forward = re.sub(r"(Grad(V\d)?|Backprop\w+)$", "", operator)
    if forward != operator:
        text += "".join(documentation(name) for name in dir(ops.operations) if name.lower() == forward.lower())
    return text


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "name", "options", "update"), NETWORKS)
def test_every_operator_of_a_networks_graphs_is_documented_for_ascend(
    recipe: str, name: str, options: dict[str, object], update: str, tmp_path: Path
) -> None:
    check_graphs(RECIPES / recipe, name, options, update, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        {"mixup": 0.2, "optimizer": {"clip_norm": 1.0, "accumulate": 2, "ema_decay": 0.9}},
        {"precision": {"level": "auto", "loss_scale": 1024.0, "dynamic": True}},
    ],
    ids=["mixup_and_the_optimizers_options", "dynamic_loss_scale"],
)
def test_every_operator_of_what_a_step_can_be_told_is_documented_for_ascend(chosen: dict[str, Any], tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "quick_cpu.yaml").read_text())
    recipe |= chosen | {"optimizer": recipe["optimizer"] | chosen.get("optimizer", {})}
    (tmp_path / "chosen.yaml").write_text(yaml.safe_dump(recipe))
    check_graphs(tmp_path / "chosen.yaml", *NETWORKS[0][1:], tmp_path)


def check_graphs(recipe: Path, name: str, options: dict[str, object], update: str, tmp_path: Path) -> None:
    """Assert that the graphs of a recipe with this network keep to what is documented for Ascend."""
    saving = {"MS_DEV_SAVE_GRAPHS": "1", "MS_DEV_DUMP_IR_PASSES": "validate", "MS_DEV_SAVE_GRAPHS_PATH": str(tmp_path / "g")}
    command = [sys.executable, str(JOBS), str(recipe), name, json.dumps(options)]
    subprocess.run(command, cwd=tmp_path, env=os.environ | saving, check=True, capture_output=True)
    found = operators(tmp_path / "g")
    assert {update, "BatchNorm", "BatchNormGrad", "Softmax"} <= found.keys()
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
            if operator == "Transpose":
                assert "I64(-" not in place
            if operator.startswith("BatchNorm"):
                assert set(re.findall(r"Tensor\[(\w+)\]", place)) == {"Float32"}, (operator, place)


def test_the_limits_looked_for_are_those_documented() -> None:
    assert re.search(r"On Ascend platform, :math:`groups ?= ?1` must be satisfied", documentation("Conv3D"))
    assert re.search(r"On Ascend platform, :math:`dilation ?= ?1` must be satisfied", documentation("Conv3D"))
    assert "only float16 in Ascend" in inspect.getdoc(nn.Conv3d)
    assert "Negative value of `dims` is not supported on Ascend" in documentation("Transpose")


def test_an_operator_that_ascend_lacks_would_be_seen() -> None:
    assert "``Ascend``" not in documentation("AdaptiveMaxPool3D")
    assert documentation("NoSuchOperator") == ""
