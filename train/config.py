"""The recipe: everything that shapes a training run, in frozen dataclasses, read from a strict YAML file.

Each dataclass checks its values where it is made, so that no command can hold a recipe that is out of range.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from preprocess.common.errors import InputError, nearest
from train.sampling import Sampling
from train.strict import check_types, from_mapping, require
from train.transforms import Crop

RECIPES = Path(__file__).resolve().parent / "recipes"
DEFAULT_RECIPE = RECIPES / "ucf101_r3d50.yaml"
IMAGE_MODELS = ("glore_resnet",)
MAX_LOSS_SCALE = 2**32
AutoAugment = Literal["none", "imagenet", "as_published"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network. A field left at null takes the network's own default; one that it does not have is refused."""

    name: str
    """A name that train.models knows: resnet3d, resnet2p1d, wide_resnet3d, glore_resnet or glore_resnet3d."""
    depth: int | None = None
    """Its number of layers."""
    widen_factor: float | None = None
    """Multiplies every channel count; 1 is the paper's."""
    shortcut_type: Literal["A", "B"] | None = None
    """B, a convolution, or A, zero channels."""
    conv1_t_size: int | None = None
    """The stem kernel's extent in time."""
    conv1_t_stride: int | None = None
    """The stem's stride in time."""
    no_max_pool: bool | None = None
    """Leave out the max-pool after the stem."""
    zero_init_residual: bool | None = None
    """Start the last batch norm of each block with gamma 0, so that each block begins as its shortcut."""
    width: float | None = None
    """glore_resnet: multiplies the stages' channel counts."""
    use_glore: bool | None = None
    """glore_resnet: with its Global Reasoning units, or without."""
    float16_units: bool | None = None
    """glore_resnet: whether the units multiply in float16, as the MindSpore model zoo's."""
    weight_init: Literal["xavier", "he_normal", "he_uniform"] | None = None
    """glore_resnet: xavier, he_normal or he_uniform."""

    def __post_init__(self) -> None:
        check_types(self, "model")
        for name in ("depth", "widen_factor", "conv1_t_size", "conv1_t_stride", "width"):
            value = getattr(self, name)
            require(value is None or value > 0, f"model.{name}", value, "above 0")

    def options(self) -> dict[str, Any]:
        """What was set, for `train.models.build_model`."""
        return {name: value for name, value in asdict(self).items() if name != "name" and value is not None}

    @property
    def for_images(self) -> bool:
        """Whether the network takes images, which are clips of one frame."""
        return self.name in IMAGE_MODELS


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """What a clip is, and how it is cut from a video. Evaluation takes frames, stride, size, mean, std, test_crops and
    test_short_side from here."""

    frames: int
    """Frames in a clip, T."""
    stride: int
    """Distance of a clip's frames in the video; 1 takes each."""
    size: int
    """Side of the square the network sees, in pixels."""
    crop_scale: tuple[float, float]
    """Least and greatest share of the frame's area that the random crop takes."""
    crop_ratio: tuple[float, float]
    """Least and greatest ratio of the random crop's width to its height."""
    flip: float
    """Probability that a clip is mirrored left to right. 0 where classes are directions."""
    mean: tuple[float, float, float]
    """RGB means, as shares of full scale."""
    std: tuple[float, float, float]
    """RGB standard deviations, as shares of full scale."""
    sampling: Sampling = "dense"
    """Frames to train on: dense (`stride` apart from a random start), uniform (one at random from each of `frames` equal
    parts of the video, arXiv:1608.00859) or centre (`stride` apart, from the middle)."""
    crop: Crop = "resized"
    """Crop to train on: resized (random area and ratio, by crop_scale and crop_ratio), multiscale (corners and centre at
    four scales, arXiv:1608.00859) or centre."""
    jitter: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Brightness, contrast and saturation are multiplied by a factor drawn from 1 - jitter to 1 + jitter, once a clip."""
    test_crops: Literal[1, 3] = 1
    """Squares that evaluation takes of a frame: 1, the centre, or 3, along the longer side."""
    test_short_side: int = 0
    """Evaluation scales a frame's short side to this many pixels and cuts its squares of `size` out of that; 0 is `size`."""
    autoaugment: AutoAugment = "none"
    """Images only: none, imagenet (the policy of arXiv:1805.09501 for ImageNet) or as_published (what the MindSpore model
    zoo's code for GloRe makes of it)."""

    def __post_init__(self) -> None:
        check_types(self, "clip")
        for name in ("frames", "stride", "size"):
            require(getattr(self, name) >= 1, f"clip.{name}", getattr(self, name), "1 or more")
        least, greatest = self.crop_scale
        require(0 < least <= greatest <= 1, "clip.crop_scale", self.crop_scale, "two numbers above 0 and up to 1, in order")
        narrow, wide = self.crop_ratio
        require(0 < narrow <= wide, "clip.crop_ratio", self.crop_ratio, "two numbers above 0, in order")
        require(0 <= self.flip <= 1, "clip.flip", self.flip, "0 to 1")
        require(min(self.std) > 0, "clip.std", self.std, "three numbers above 0")
        require(0 <= min(self.jitter) <= max(self.jitter) <= 1, "clip.jitter", self.jitter, "three numbers from 0 to 1")
        short_side = self.test_short_side
        require(
            short_side == 0 or short_side >= self.size,
            "clip.test_short_side",
            short_side,
            f"0, or at least clip.size, which is {self.size}",
        )

    @property
    def test_share(self) -> float:
        """The side of evaluation's squares, as a share of the frame's short side."""
        return self.size / self.test_short_side if self.test_short_side else 1.0


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How gradients become updates."""

    name: Literal["sgd", "momentum", "adamw"]
    """sgd; momentum, the same update by a kernel that remembers one tensor a weight, not two; or adamw
    (arXiv:1711.05101, algorithm 2)."""
    momentum: float
    """sgd and momentum: share of the last update that is carried on; adamw: beta1."""
    weight_decay: float
    """sgd and momentum: factor of the L2 penalty; adamw: share of a weight, times the rate, that each step takes off."""
    decay_norm_and_bias: bool
    """Whether the decay also weighs on batch norm's gamma and beta and on biases."""
    nesterov: bool = False
    """sgd and momentum: look ahead along the momentum."""
    beta2: float = 0.999
    """adamw: memory of the squared gradients."""
    clip_norm: float = 0.0
    """Greatest norm of all gradients together; longer ones are scaled down to it. 0 for no limit."""
    accumulate: int = 1
    """Steps whose gradients are gathered into one update, as of one batch that is that many times as large."""
    ema_decay: float = 0.0
    """Decay of the moving average of the weights; where it is kept, it is what is evaluated. 0 for none."""

    def __post_init__(self) -> None:
        check_types(self, "optimizer")
        for name in ("momentum", "beta2", "ema_decay"):
            require(0 <= getattr(self, name) < 1, f"optimizer.{name}", getattr(self, name), "at least 0 and below 1")
        for name in ("weight_decay", "clip_norm"):
            require(getattr(self, name) >= 0, f"optimizer.{name}", getattr(self, name), "0 or more")
        require(self.accumulate >= 1, "optimizer.accumulate", self.accumulate, "1 or more")
        if self.name == "adamw":
            require(self.momentum > 0, "optimizer.momentum", self.momentum, "above 0 for adamw")
            require(self.beta2 > 0, "optimizer.beta2", self.beta2, "above 0 for adamw")
        if self.nesterov:
            require(self.momentum > 0, "optimizer.momentum", self.momentum, "above 0 for optimizer.nesterov")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate's curve, in epochs."""

    curve: Literal["steps", "linear", "poly", "cosine", "cosine_glore"]
    """steps (times `factor` at each of `milestones`), linear (to `end_rate`), poly (to zero, squared), cosine (to zero) or
    cosine_glore (the model zoo's for GloRe)."""
    learning_rate: float
    """The greatest rate."""
    warmup_epochs: float
    """Linear climb from `start_rate`; 0 for none."""
    milestones: tuple[int, ...] = ()
    """steps: the epochs after which the rate falls."""
    factor: float = 0.1
    """steps: what it is multiplied by."""
    start_rate: float = 0.0
    """Where the warm-up begins."""
    end_rate: float = 0.0
    """linear: the rate at the end."""

    def __post_init__(self) -> None:
        check_types(self, "schedule")
        require(self.learning_rate > 0, "schedule.learning_rate", self.learning_rate, "above 0")
        require(self.warmup_epochs >= 0, "schedule.warmup_epochs", self.warmup_epochs, "0 or more")
        for name in ("start_rate", "end_rate"):
            value = getattr(self, name)
            wanted = f"at least 0 and at most schedule.learning_rate, which is {self.learning_rate}"
            require(0 <= value <= self.learning_rate, f"schedule.{name}", value, wanted)
        in_order = all(0 <= a <= b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        require(in_order and min(self.milestones, default=0) >= 0, "schedule.milestones", self.milestones, "epochs in order")
        require(self.factor > 0, "schedule.factor", self.factor, "above 0")


@dataclass(frozen=True, kw_only=True)
class PrecisionConfig:
    """Mixed precision (arXiv:1710.03740). Weights and updates are float32 at every level."""

    level: Literal["O0", "O2", "O3", "auto"] = "auto"
    """O0, float32; O2, float16 but for batch norm and loss; O3, float16 but for the loss; auto, what suits the device: O2 on
    Ascend, whose 3-D convolutions take nothing but float16, O0 on the CPU."""
    loss_scale: float = 1.0
    """The loss is multiplied by it, and gradients divided, so that small ones are not lost to float16."""
    dynamic: bool = False
    """Halve the scale and skip the update when gradients overflow, double it after 2000 updates without, up to 2^32."""

    def __post_init__(self) -> None:
        check_types(self, "precision")
        require(1 <= self.loss_scale <= MAX_LOSS_SCALE, "precision.loss_scale", self.loss_scale, "1 to 2^32")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A full configuration of a training run."""

    model: ModelConfig
    clip: ClipConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    epochs: int
    """Passes over the training videos, one clip of each a pass."""
    batch_size: int
    """Clips a step on each device."""
    label_smoothing: float
    """Share of the target spread over all classes."""
    seed: int
    """Seed of weights, order and crops, and of what is held out."""
    precision: PrecisionConfig = PrecisionConfig()
    freeze_until: str | None = None
    """The first stage that trains, such as layer4 or fc; the stages before it are left as they are. null trains all."""
    frozen_bn: Literal["eval", "train"] = "eval"
    """Batch norm of frozen stages: eval, by its running statistics, or train, by the batch's, as the paper's code."""
    mixup: float = 0.0
    """alpha of mixup (arXiv:1710.09412): clips are mixed in pairs, in shares drawn from Beta(alpha, alpha); 0 for none."""
    sync_bn: bool = False
    """Batch norm by the statistics of all devices' clips together."""
    val_fraction: float = 0.0
    """Share of the training videos that is held out, in whole groups, to choose best.ckpt on; 0 for none."""
    choose_best_on: Literal["held_out", "test"] = "held_out"
    """What best.ckpt is chosen on: held_out, or test, the test list itself, which flatters every accuracy on it."""
    validate_every: int = 0
    """Epochs from one validation to the next, which scores every window of its videos; the last epoch always has one. 0:
    such that validation takes about a tenth of the training at most, a window counted as a third of a training clip."""
    save_every_minutes: float = 1.0
    """Time between two saves of last.ckpt; 0 saves after every step."""
    sink_steps: int = 0
    """Ascend: steps that the NPU takes before the host looks, to print, save or stop; the greatest divisor of the epoch's
    steps up to this. 0: as many as take 10 s, timed in the first epoch, where the host looks after each step."""
    keep_every_epochs: int = 0
    """Epochs from one checkpoint of the network that is kept, epoch_<number>.ckpt, to the next; 0 keeps none."""
    keep_most: int = 5
    """How many of them are kept, the newest."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("epochs", "batch_size", "keep_most"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("seed", "mixup", "validate_every", "save_every_minutes", "sink_steps", "keep_every_epochs"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "at least 0 and below 1")
        require(0 <= self.val_fraction <= 0.5, "val_fraction", self.val_fraction, "0 to 0.5")
        if self.choose_best_on == "test":
            require(self.val_fraction == 0, "val_fraction", self.val_fraction, "0 where choose_best_on is test")
        warmup = self.schedule.warmup_epochs
        require(warmup < self.epochs, "schedule.warmup_epochs", warmup, f"below epochs, which is {self.epochs}")
        self.check_images()

    def check_images(self) -> None:
        """Refuse what has no meaning for a network of images, or of clips."""
        clip, name = self.clip, self.model.name
        if not self.model.for_images:
            require(clip.autoaugment == "none", "clip.autoaugment", clip.autoaugment, f"none for {name}: it is for images")
            return
        for field in ("frames", "stride"):
            require(getattr(clip, field) == 1, f"clip.{field}", getattr(clip, field), f"1 for {name}, which takes images")
        require(clip.crop == "resized", "clip.crop", clip.crop, f"resized for {name}, which takes images")
        require(not any(clip.jitter), "clip.jitter", clip.jitter, f"0 for {name}, which takes images")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        InputError: the file is missing or is not YAML, a key is unknown or missing, or a value is of another type or out of
            range. The line begins with the file.
    """
    if not path.is_file():
        known = sorted(recipe.stem for recipe in RECIPES.glob("*.yaml"))
        raise InputError(f"recipe {path} does not exist{nearest(path.stem, known)} {RECIPES} has {', '.join(known)}")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    recipe: Recipe = from_mapping(Recipe, value, path)
    return recipe


def difference(recipe: Recipe, other: Recipe) -> str:
    """The first value in which two recipes differ, such as `epochs is 3, not 2`; empty if none does."""
    ours, theirs = flat(recipe), flat(other)
    return next((f"{name} is {ours[name]}, not {theirs[name]}" for name in ours if ours[name] != theirs[name]), "")


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The values of a recipe by name, such as clip.size."""
    if not is_dataclass(value):
        return {name: value}
    parts = [flat(getattr(value, f.name), f"{name}.{f.name}".lstrip(".")) for f in fields(value)]
    return {key: item for part in parts for key, item in part.items()}
