from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from preprocess.common.errors import InputError
from train.models import build_model
from train.models.glore import GlobalReasoning
from train.weights import load_pretrained

pytestmark = pytest.mark.usefixtures("on_the_cpu")


def unset(**options: object) -> ms.nn.Cell:
    """A network of full size whose weights are not drawn."""
    with ms.nn.utils.no_init_parameters():
        return build_model("glore_resnet", num_classes=1000, **options)


@pytest.mark.parametrize(("depth", "count"), [(50, 30_506_824), (101, 50_300_200), (200, 70_424_872)])
def test_networks_have_the_zoos_names_shapes_and_size(depth: int, count: int, shared: Path) -> None:
    lines = (shared / f"reference/glore_resnet{depth}_params.tsv").read_text().splitlines()[1:]
    network = unset(depth=depth)
    found = {(p.name, "x".join(map(str, p.shape)), str(int(p.requires_grad))) for p in network.get_parameters()}
    assert found == {tuple(line.split("\t")) for line in lines}
    assert sum(p.size for p in network.trainable_params()) == count


def test_the_plain_network_has_no_unit() -> None:
    assert sum(p.size for p in unset(use_glore=False).trainable_params()) == 25_576_264


def test_the_zoos_checkpoint_gives_the_zoos_logits(shared: Path) -> None:
    expected = np.load(shared / "reference/glore_resnet50_w0125_io.npz")
    network = build_model("glore_resnet", num_classes=13, width=0.125).set_train(False)
    report = load_pretrained(network, shared / "reference/glore_resnet50_w0125.ckpt")
    assert (report.skipped, report.new) == ({}, ())
    logits_NK = network(ms.Tensor(expected["image_NCHW"])).asnumpy()
    # the products overflow float16 in these random weights, so that only the zoo's own type gives these logits
    assert np.linalg.norm(logits_NK - expected["logits"]) < 1e-4 * np.linalg.norm(expected["logits"])


def new_unit(dims: int, float16: bool) -> ms.nn.Cell:
    """A unit of 16 channels with all its parameters drawn."""
    rng = np.random.default_rng(0)
    unit = GlobalReasoning(16, dims, float16).set_train(False)
    for p in unit.get_parameters():
        p.set_data(ms.Tensor(rng.uniform(0.5, 1.5, p.shape).astype(np.float32) * (0.2 if p.ndim > 1 else 1)))
    return unit


def by_hand(unit: ms.nn.Cell, x: np.ndarray) -> np.ndarray:
    """The unit's formula in float64, a position at a time."""
    values = {p.name: p.asnumpy().astype(np.float64) for p in unit.get_parameters()}

    def norm_relu_conv(x_NCL: np.ndarray, name: str) -> np.ndarray:
        norm = {key.split(".")[-1]: value[:, None] for key, value in values.items() if key.startswith(f"{name}.0.")}
        y = (x_NCL - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-4) * norm["gamma"] + norm["beta"]
        weight = values[f"{name}.2.weight"]
        return np.einsum("oc,ncl->nol", weight.reshape(weight.shape[:2]), np.maximum(y, 0))

    x_NCL = x.reshape(*x.shape[:2], -1).astype(np.float64)
    state, weight = norm_relu_conv(x_NCL, "conv_state"), norm_relu_conv(x_NCL, "conv_proj")
    node = np.einsum("nsl,nml->nsm", state, weight)
    node = node + np.einsum("om,nsm->nso", values["gcn.conv1.weight"][:, :, 0, 0], node)
    node = np.einsum("os,nsm->nom", values["gcn.conv2.weight"][:, :, 0, 0], np.maximum(node, 0))
    return (x_NCL + norm_relu_conv(np.einsum("nsm,nml->nsl", node, weight), "conv_extend")).reshape(x.shape)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("float16", "tolerance"), [(False, 1e-5), (True, 1e-2)])
def test_a_unit_computes_its_formula_on_images_and_clips(dims: int, float16: bool, tolerance: float) -> None:
    unit = new_unit(dims, float16)
    x = np.random.default_rng(1).normal(size=(2, 16, 2, 3, 4)[: 2 + dims]).astype(np.float32)
    expected = by_hand(unit, x)
    assert np.linalg.norm(expected - x) > np.linalg.norm(x)  # it does something
    assert np.linalg.norm(unit(ms.Tensor(x)).asnumpy() - expected) < tolerance * np.linalg.norm(expected)


def test_a_new_unit_is_the_identity_and_a_new_block_its_shortcut() -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    x = ms.Tensor(np.random.default_rng(1).normal(size=(2, 16, 5, 5)).astype(np.float32))
    assert (GlobalReasoning(16, 2, float16=False)(x).asnumpy() == x.asnumpy()).all()
    network = build_model("glore_resnet", num_classes=3, width=0.125)
    lasts = [p for p in network.get_parameters() if p.name.endswith(("bn3.gamma", "conv_extend.2.weight"))]
    assert len(lasts) == 16 + 3
    assert all((p.asnumpy() == 0).all() for p in lasts)


@pytest.mark.parametrize("dims", [2, 3])
def test_every_parameter_of_a_unit_learns(dims: int) -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    unit = GlobalReasoning(16, dims, float16=False)
    before = {p.name: p.asnumpy().copy() for p in unit.trainable_params()}
    rng = np.random.default_rng(1)
    x, target = (ms.Tensor(rng.normal(size=(4, 16, 2, 3, 4)[: 2 + dims]).astype(np.float32)) for _ in range(2))
    step = ms.nn.TrainOneStepCell(ms.nn.WithLossCell(unit, ms.nn.MSELoss()), ms.nn.SGD(unit.trainable_params(), 0.5))
    step.set_train()
    for _ in range(3):  # at first only the last convolution has a gradient
        step(x, target)
    assert [p.name for p in unit.trainable_params() if (p.asnumpy() == before[p.name]).all()] == []


@pytest.mark.parametrize(("weight_init", "depth"), [("xavier", 50), ("he_normal", 101), ("he_uniform", 50)])
def test_weights_are_really_drawn_as_asked(weight_init: str, depth: int) -> None:
    network = build_model("glore_resnet", num_classes=50, depth=depth, width=0.25, weight_init=weight_init)
    weights = [p for p in network.get_parameters() if p.name.endswith(".weight")]
    assert len(weights) == len([p for p in network.get_parameters() if p.ndim > 1])
    for p in weights:
        if p.name.endswith("conv_extend.2.weight"):
            continue  # zero, so that the unit begins as the identity
        values = p.asnumpy().ravel()
        fan_in, fan_out = (n * int(np.prod(p.shape[2:])) for n in (p.shape[1], p.shape[0]))
        deviation = {"xavier": np.sqrt(2 / (fan_in + fan_out))}.get(weight_init, np.sqrt(2 / fan_in))
        assert abs(values.std() - deviation) < 6 * deviation / np.sqrt(values.size)
        bound = np.sqrt(3) * deviation
        assert (
            (np.abs(values).max() > 1.2 * bound) if weight_init == "he_normal" else (np.abs(values).max() <= bound * 1.001)
        )


@pytest.mark.parametrize("depth", [50, 101])
def test_images_of_any_size_give_logits(depth: int) -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = build_model("glore_resnet", num_classes=5, depth=depth, width=0.0625, float16_units=False)
    logits = network(ms.Tensor(np.random.default_rng(0).normal(size=(2, 3, 45, 70)).astype(np.float32))).asnumpy()
    assert logits.shape == (2, 5)
    assert np.isfinite(logits).all()


def test_the_network_for_clips_is_resnet3d_50_with_three_units() -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = build_model("glore_resnet3d", num_classes=5, widen_factor=0.0625)
    plain = build_model("resnet3d", num_classes=5, widen_factor=0.0625)
    assert [i for i, cell in enumerate(network.layer3) if isinstance(cell, GlobalReasoning)] == [1, 4, 7]
    units = sum(p.size for i in (1, 4, 7) for p in network.layer3[i].trainable_params())
    assert sum(p.size for p in network.get_parameters()) > sum(p.size for p in plain.get_parameters())
    assert sum(p.size for p in network.trainable_params()) == units + sum(p.size for p in plain.trainable_params())
    clip = ms.Tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 36, 36)).astype(np.float32))
    logits = network(clip).asnumpy()
    assert logits.shape == (2, 5)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("glore_resnet", {"depth": 18}, "glore_resnet has no depth 18: choose one of 50, 101, 200"),
        ("glore_resnet", {"width": 0.001}, "leaves no channels"),
        ("glore_resnet", {"weight_init": "he"}, "no weight_init 'he': choose one of xavier, he_normal, he_uniform"),
        ("glore_resnet", {"widen_factor": 0.5}, "no option 'widen_factor'"),
        ("glore_resnet3d", {"depth": 101}, "glore_resnet3d has no depth 101: choose one of 50"),
    ],
)
def test_wrong_options_are_refused_by_name(name: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as raised:
        build_model(name, num_classes=2, **options)
    assert says in str(raised.value)
