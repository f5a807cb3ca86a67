from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest

from preprocess.common.errors import InputError
from train.models import build_model
from train.models.from_bytes import FromBytes


@pytest.fixture(autouse=True)
def graph_mode() -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")


def test_resnet3d_50_has_the_zoos_names_shapes_and_size(shared) -> None:  # type: ignore[no-untyped-def]
    lines = (shared / "reference/resnet3d50_101_params.tsv").read_text().splitlines()[1:]
    expected = [tuple(line.split("\t")) for line in lines]
    network = build_model("resnet3d", num_classes=101)
    assert {(p.name, "x".join(map(str, p.shape)), str(int(p.requires_grad))) for p in network.get_parameters()} == set(
        expected
    )
    assert sum(p.size for p in network.trainable_params()) == 46_405_925


def test_stages_have_the_papers_shapes() -> None:
    network = build_model("resnet3d", num_classes=7, depth=18, widen_factor=0.125)
    x = ms.Tensor(np.zeros((1, 3, 16, 112, 112), np.float32))
    network.set_train(False)
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    shapes = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = stage(x)
        shapes.append(x.shape[1:])
    assert shapes == [(8, 8, 28, 28), (16, 4, 14, 14), (32, 2, 7, 7), (64, 1, 4, 4)]


@pytest.mark.parametrize(
    "options",
    [
        {"shortcut_type": "A"},
        {"no_max_pool": True},
        {"conv1_t_size": 3, "conv1_t_stride": 2},
        {"depth": 50, "widen_factor": 0.125},
    ],
)
def test_options_build_networks_that_run(options: dict[str, object]) -> None:
    network = build_model("resnet3d", num_classes=5, **{"depth": 10, "widen_factor": 0.125, **options})
    logits = network(ms.Tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 32, 32)).astype(np.float32))).asnumpy()
    assert logits.shape == (2, 5)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet2d", {}, "no network is called 'resnet2d'; did you mean resnet3d?"),
        ("resnet3d", {"depht": 18}, "no option 'depht'; did you mean depth?"),
        ("resnet3d", {"depth": 19}, "no depth 19"),
        ("resnet3d", {"shortcut_type": "C"}, "no shortcut_type 'C'"),
        ("resnet3d", {"widen_factor": 0.001}, "leaves no channels"),
        ("resnet3d", {"conv1_t_size": 4}, "must be odd"),
    ],
)
def test_wrong_options_are_refused_by_name(name: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as raised:
        build_model(name, num_classes=2, **options)
    assert says in str(raised.value)


def test_bytes_become_the_networks_normalised_input() -> None:
    class Echo(ms.nn.Cell):
        def construct(self, x):  # type: ignore[no-untyped-def]
            return x

    clip_NTHWC = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 6, 3), np.uint8)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    found = FromBytes(Echo(), mean, std)(ms.Tensor(clip_NTHWC)).asnumpy()
    expected = ((clip_NTHWC / 255 - mean) / std).transpose(0, 4, 1, 2, 3)
    assert np.abs(found - expected).max() < 1e-5
