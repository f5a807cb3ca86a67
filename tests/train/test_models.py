from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from preprocess.common.errors import InputError
from train.models import build_model
from train.models.normalize_input import NormalizeInput
from train.models.resnet2p1d import mid_channels
from train.weights import load_pretrained

pytestmark = pytest.mark.usefixtures("on_the_cpu")


def test_resnet3d_50_has_the_zoos_names_shapes_and_size(shared) -> None:  # type: ignore[no-untyped-def]
    lines = (shared / "reference/resnet3d50_101_params.tsv").read_text().splitlines()[1:]
    expected = [tuple(line.split("\t")) for line in lines]
    with ms.nn.utils.no_init_parameters():
        network = build_model("resnet3d", num_classes=101)
    assert {(p.name, "x".join(map(str, p.shape)), str(int(p.requires_grad))) for p in network.get_parameters()} == set(
        expected
    )
    assert sum(p.size for p in network.trainable_params()) == 46_405_925


# 101 classes; the paper's authors state 33.3, 46.4, 85, 118 and 127 million for ResNet3D
@pytest.mark.parametrize(
    ("name", "depth", "count"),
    [
        ("resnet3d", 18, 33_255_717),
        ("resnet3d", 101, 85_452_069),
        pytest.param("resnet3d", 152, 117_610_789, marks=pytest.mark.slow),
        pytest.param("resnet3d", 200, 126_810_405, marks=pytest.mark.slow),
        ("resnet2p1d", 18, 33_267_777),
        pytest.param("resnet2p1d", 34, 63_594_113, marks=pytest.mark.slow),
        ("resnet2p1d", 50, 46_422_731),
        ("wide_resnet3d", 50, 157_726_181),
    ],
)
def test_networks_have_the_papers_number_of_parameters(name: str, depth: int, count: int) -> None:
    with ms.nn.utils.no_init_parameters():
        network = build_model(name, num_classes=101, depth=depth)
    assert sum(p.size for p in network.trainable_params()) == count


@pytest.mark.parametrize(
    ("size", "expected"),
    # arXiv:1711.11248, section 3.5: M for 3x3x3 from 64 to 64 channels and from 64 to 128, and for the stem
    [((64, 64, 3, 3), 144), ((64, 128, 3, 3), 230), ((3, 64, 7, 7), 110)],
)
def test_factored_convolutions_have_no_more_weights_than_the_whole_one(size: tuple[int, ...], expected: int) -> None:
    channels_in, channels_out, t, d = size
    mid = mid_channels(*size)
    assert mid == expected
    assert mid * (d * d * channels_in + t * channels_out) <= t * d * d * channels_in * channels_out
    assert (mid + 1) * (d * d * channels_in + t * channels_out) > t * d * d * channels_in * channels_out


@pytest.mark.parametrize("name", ["resnet3d", "resnet2p1d"])
def test_stages_have_the_papers_shapes(name: str) -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = build_model(name, num_classes=7, depth=18, widen_factor=0.125).set_train(False)
    stages = network.stages(ms.Tensor(np.zeros((1, 3, 16, 112, 112), np.float32)))
    assert [x.shape[1:] for x in stages] == [(8, 8, 28, 28), (16, 4, 14, 14), (32, 2, 7, 7), (64, 1, 4, 4)]


class LogitsAndStages(ms.nn.Cell):
    """clip_NCTHW -> the logits and each stage's mean over T, H and W."""

    def __init__(self, network: ms.nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.set_train(False)

    def construct(self, clip_NCTHW: ms.Tensor) -> tuple[ms.Tensor, ...]:
        x1, x2, x3, x4 = self.network.stages(clip_NCTHW)
        return self.network.head(x4), x1.mean((2, 3, 4)), x2.mean((2, 3, 4)), x3.mean((2, 3, 4)), x4.mean((2, 3, 4))


@pytest.mark.parametrize(
    ("file", "name", "depth"),
    [
        ("r3d10_w0125", "resnet3d", 10),
        ("r3d18_w0125", "resnet3d", 18),
        ("r3d50_w0125", "resnet3d", 50),
        ("r2p1d18_w0125", "resnet2p1d", 18),
    ],
)
def test_published_weights_give_the_published_networks_logits_and_stages(
    file: str, name: str, depth: int, shared: Path
) -> None:
    expected = np.load(shared / f"reference/{file}_io.npz")
    network = build_model(name, num_classes=expected["logits"].shape[1], depth=depth, widen_factor=0.125)
    report = load_pretrained(network, shared / f"reference/{file}.pth")
    assert report.new == ()
    assert set(report.skipped.values()) == {"a counter"}
    logits, *means = LogitsAndStages(network)(ms.Tensor(expected["clip_NCTHW"]))
    assert difference(logits, expected["logits"]) < 1e-4
    for stage, mean_NC in enumerate(means, start=1):
        assert difference(mean_NC, expected[f"layer{stage}_mean_NC"]) < 1e-4


def difference(found: ms.Tensor, expected: np.ndarray) -> float:
    """Relative, as the reference values want it compared."""
    return float(np.linalg.norm(found.asnumpy() - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(
    "options",
    [
        {"shortcut_type": "A"},
        {"no_max_pool": True},
        {"conv1_t_size": 3, "conv1_t_stride": 2},
        {"name": "resnet2p1d", "depth": 50, "widen_factor": 0.0625, "shortcut_type": "A"},
        {"name": "wide_resnet3d", "depth": 50, "widen_factor": 0.0625},
    ],
)
def test_options_build_networks_that_run(options: dict[str, object]) -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = build_model(**{"name": "resnet3d", "num_classes": 5, "depth": 10, "widen_factor": 0.125, **options})  # type: ignore[arg-type]
    logits = network(ms.Tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 32, 32)).astype(np.float32))).asnumpy()
    assert logits.shape == (2, 5)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", ["resnet3d", "resnet2p1d"])
@pytest.mark.parametrize("depth", [10, 50])
@pytest.mark.parametrize("zero", [True, False])
def test_blocks_begin_as_their_shortcut_only_with_zero_init_residual(name: str, depth: int, zero: bool) -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = build_model(name, num_classes=2, depth=depth, widen_factor=0.0625, zero_init_residual=zero)
    x_NCTHW = np.random.default_rng(0).normal(size=(2, 4, 4, 8, 8)).astype(np.float32)
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            block.set_train()
            y_NCTHW = block(ms.Tensor(x_NCTHW)).asnumpy()
            shortcut = block.downsample(ms.Tensor(x_NCTHW)).asnumpy() if block.downsample else x_NCTHW
            assert (y_NCTHW == np.maximum(shortcut, 0)).all() == zero
            x_NCTHW = y_NCTHW


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet3D", {}, "no network is called 'resnet3D'; did you mean resnet3d?"),
        ("resnet3d", {"depht": 18}, "no option 'depht'; did you mean depth?"),
        ("resnet3d", {"depth": 19}, "no depth 19"),
        ("wide_resnet3d", {"depth": 101}, "wide_resnet3d has no depth 101: choose one of 50"),
        ("resnet2p1d", {"shortcut_type": "C"}, "resnet2p1d has no shortcut_type 'C'"),
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
    found = NormalizeInput(Echo(), mean, std)(ms.Tensor(clip_NTHWC)).asnumpy()
    expected = ((clip_NTHWC / 255 - mean) / std).transpose(0, 4, 1, 2, 3)
    assert np.abs(found - expected).max() < 1e-5
