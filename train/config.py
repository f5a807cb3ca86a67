"""The recipe: everything that shapes a training run, in frozen dataclasses, read from a strict YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import typeguard
import yaml

from preprocess.common.errors import InputError, nearest
from train.sampling import SAMPLERS

RECIPES = Path(__file__).resolve().parent / "recipes"
DEFAULT_RECIPE = RECIPES / "ucf101_r3d50.yaml"
OPTIMIZERS = ("sgd", "momentum", "adamw")
CURVES = ("steps", "linear", "poly", "cosine", "cosine_glore")
PRECISIONS = ("O0", "O2", "O3", "auto")
FROZEN_BN = ("eval", "train")
CROPS = ("resized", "multiscale", "centre")
AUTOAUGMENT = ("none", "imagenet", "as_published")
IMAGE_MODELS = ("glore_resnet",)
CHOOSE_ON = ("held_out", "test")


@dataclass(frozen=True)
class ModelConfig:
    """Which network. A field left at null takes the network's own default; one that it does not have is refused."""

    name: str
    """A name that train.models knows: resnet3d, resnet2p1d, wide_resnet3d, glore_resnet or glore_resnet3d."""
    depth: int | None = None
    """Its number of layers."""
    widen_factor: float | None = None
    """Multiplies every channel count; 1 is the paper's."""
    shortcut_type: str | None = None
    """B, a convolution, or A, zero channels."""
    conv1_t_size: int | None = None
    """The stem kernel's extent in time."""
    conv1_t_stride: int | None = None
    """The stem's stride in time."""
    no_max_pool: bool | None = None
    """Leave out the max-pool after the stem."""
    zero_init_residual: bool | None = None
    """Begin with blocks that give out their shortcut alone."""
    width: float | None = None
    """glore_resnet: multiplies the stages' channel counts."""
    use_glore: bool | None = None
    """glore_resnet: with its Global Reasoning units, or without."""
    float16_units: bool | None = None
    """glore_resnet: whether the units multiply in float16, as the MindSpore model zoo's."""
    weight_init: str | None = None
    """glore_resnet: xavier, he_normal or he_uniform."""

    def options(self) -> dict[str, Any]:
        """What was set, for `train.models.build_model`."""
        return {name: value for name, value in asdict(self).items() if name != "name" and value is not None}

    @property
    def for_images(self) -> bool:
        """Whether the network takes images, which are clips of one frame."""
        return self.name in IMAGE_MODELS


@dataclass(frozen=True)
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
    sampling: str = "dense"
    """Frames to train on: dense (`stride` apart from a random start), uniform (one at random from each of `frames` equal
    parts of the video, arXiv:1608.00859) or centre (`stride` apart, from the middle)."""
    crop: str = "resized"
    """Crop to train on: resized (random area and ratio, by crop_scale and crop_ratio), multiscale (corners and centre at
    four scales, arXiv:1608.00859) or centre."""
    jitter: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Brightness, contrast and saturation are multiplied by a factor drawn from 1 - jitter to 1 + jitter, once a clip."""
    test_crops: int = 1
    """Squares that evaluation takes of a frame: 1, the centre, or 3, along the longer side."""
    test_short_side: int = 0
    """Evaluation scales a frame's short side to so many pixels and cuts its squares of `size` out of that; 0 is `size`."""
    autoaugment: str = "none"
    """Images only: none, imagenet (the policy of arXiv:1805.09501 for ImageNet) or as_published (what the MindSpore model
    zoo's code for GloRe makes of it)."""

    @property
    def test_share(self) -> float:
        """The side of evaluation's squares, as a share of the frame's short side."""
        return self.size / self.test_short_side if self.test_short_side else 1.0


@dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become updates."""

    name: str
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
    """Steps whose gradients are gathered into one update, as of one batch so many times as large."""
    ema_decay: float = 0.0
    """Memory of the moving average of the weights, which is then what is evaluated; 0 for none."""


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate's curve, in epochs."""

    curve: str
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


@dataclass(frozen=True)
class PrecisionConfig:
    """Mixed precision (arXiv:1710.03740). Weights and updates are float32 at every level."""

    level: str = "auto"
    """O0, float32; O2, float16 but for batch norm and loss; O3, float16 but for the loss; auto, what suits the device: O2 on
    Ascend, whose 3-D convolutions take nothing but float16, O0 on the CPU."""
    loss_scale: float = 1.0
    """The loss is multiplied by it, and gradients divided, so that small ones are not lost to float16."""
    dynamic: bool = False
    """Halve the scale and skip the update when gradients overflow, double it after 2000 updates without, up to 2^32."""


@dataclass(frozen=True)
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
    frozen_bn: str = "eval"
    """Batch norm of frozen stages: eval, by its running statistics, or train, by the batch's, as the paper's code."""
    mixup: float = 0.0
    """alpha of mixup (arXiv:1710.09412): clips are mixed in pairs, in shares drawn from Beta(alpha, alpha); 0 for none."""
    sync_bn: bool = False
    """Batch norm by the statistics of all devices' clips together."""
    val_fraction: float = 0.0
    """Share of the training videos that is held out, in whole groups, to choose best.ckpt on; 0 for none."""
    choose_best_on: str = "held_out"
    """What best.ckpt is chosen on: held_out, or test, the test list itself, which flatters every accuracy on it."""
    validate_every: int = 1
    """Epochs between two validations, which score every window of the videos; the last epoch always has one."""
    save_every_minutes: float = 10.0
    """Time between two saves of last.ckpt within an epoch; 0 saves after every step."""
    keep_every_epochs: int = 0
    """Epochs from one checkpoint of the network that is kept, epoch_<number>.ckpt, to the next; 0 keeps none."""
    keep_most: int = 5
    """How many of them are kept, the newest."""


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises InputError on a file that is missing, an unknown or missing key, or a value of a wrong type."""
    if not path.is_file():
        known = sorted(recipe.stem for recipe in RECIPES.glob("*.yaml"))
        raise InputError(f"recipe {path} does not exist{nearest(path.stem, known)} {RECIPES} has {', '.join(known)}")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    recipe: Recipe = from_mapping(Recipe, value, str(path))
    return recipe


def from_mapping(kind: type, value: Any, where: str) -> Any:
    """Build a dataclass from a mapping, strictly. Raises InputError naming `where` and the nearest known key."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} should have the keys {', '.join(f.name for f in fields(kind))}")
    types = get_type_hints(kind)
    for key in value:
        if key not in types:
            raise InputError(f"{where} has an unknown key {key!r}{nearest(str(key), types)} The keys: {', '.join(types)}")
    arguments = {key: convert(types[key], item, f"{where}: {key}") for key, item in value.items()}
    try:
        return kind(**arguments)
    except TypeError as error:  # says which keys are missing
        raise InputError(f"{where} is incomplete: {str(error).split(') ', 1)[-1].removeprefix('__init__() ')}") from None


def convert(expected: Any, value: Any, where: str) -> Any:
    """A YAML value as the type of its field: lists become tuples, whole numbers floats where a float is wanted."""
    if is_dataclass(expected):
        return from_mapping(expected, value, where)  # type: ignore[arg-type]
    if isinstance(value, list):
        value = tuple(value)
    try:
        return typeguard.check_type(value, expected)
    except typeguard.TypeCheckError:
        raise InputError(f"{where} is {value!r}, expected {getattr(expected, '__name__', expected)}") from None


def difference(recipe: Recipe, other: Recipe) -> str:
    """The first value that two recipes have differently, in words; an empty text when they are alike."""
    ours, theirs = flat(recipe), flat(other)
    return next((f"{name} is {ours[name]}, not {theirs[name]}" for name in ours if ours[name] != theirs[name]), "")


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The values of a recipe by name, such as clip.size."""
    if not is_dataclass(value):
        return {name: value}
    parts = [flat(getattr(value, f.name), f"{name}.{f.name}".lstrip(".")) for f in fields(value)]
    return {key: item for part in parts for key, item in part.items()}


def check(recipe: Recipe) -> None:
    """Raise InputError, naming the field, on a value out of its range."""
    for name, value in flat(recipe).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise InputError(f"the recipe is out of range: {name} is {value}, which is no number to compute with")
    clip, schedule = recipe.clip, recipe.schedule
    rules = {
        "epochs, batch_size, clip.frames, clip.stride and clip.size are 1 or more": min(
            recipe.epochs, recipe.batch_size, clip.frames, clip.stride, clip.size
        )
        >= 1,
        "clip.crop_scale is two numbers above 0 and at most 1, in order": 0 < clip.crop_scale[0] <= clip.crop_scale[1] <= 1,
        "clip.crop_ratio is two numbers above 0, in order": 0 < clip.crop_ratio[0] <= clip.crop_ratio[1],
        "clip.flip is between 0 and 1": 0 <= clip.flip <= 1,
        "clip.std is above 0": min(clip.std) > 0,
        f"clip.sampling is one of {', '.join(SAMPLERS)}": clip.sampling in SAMPLERS,
        f"clip.crop is one of {', '.join(CROPS)}": clip.crop in CROPS,
        "clip.jitter is three numbers, at least 0 and at most 1": 0 <= min(clip.jitter) <= max(clip.jitter) <= 1,
        "clip.test_crops is 1 or 3": clip.test_crops in (1, 3),
        "clip.test_short_side is 0 or at least clip.size": clip.test_short_side == 0 or clip.test_short_side >= clip.size,
        f"clip.autoaugment is one of {', '.join(AUTOAUGMENT)}": clip.autoaugment in AUTOAUGMENT,
        f"clip.autoaugment is none for {recipe.model.name}, it is for images": recipe.model.for_images
        or clip.autoaugment == "none",
        f"clip.frames and clip.stride are 1 for {recipe.model.name}, it takes images": not recipe.model.for_images
        or clip.frames == clip.stride == 1,
        f"clip.crop is resized and clip.jitter 0 for {recipe.model.name}, it takes images": not recipe.model.for_images
        or (clip.crop == "resized" and not any(clip.jitter)),
        "label_smoothing is at least 0 and below 1": 0 <= recipe.label_smoothing < 1,
        "schedule.learning_rate is above 0": schedule.learning_rate > 0,
        "schedule.warmup_epochs is at least 0 and below epochs": 0 <= schedule.warmup_epochs < recipe.epochs,
        "optimizer.momentum and optimizer.beta2 are at least 0 and below 1": 0
        <= min(recipe.optimizer.momentum, recipe.optimizer.beta2)
        <= max(recipe.optimizer.momentum, recipe.optimizer.beta2)
        < 1,
        "seed is 0 or more": recipe.seed >= 0,
        "val_fraction is at least 0 and at most 0.5": 0 <= recipe.val_fraction <= 0.5,
        f"choose_best_on is one of {', '.join(CHOOSE_ON)}": recipe.choose_best_on in CHOOSE_ON,
        "val_fraction is 0 where choose_best_on is test": recipe.choose_best_on != "test" or recipe.val_fraction == 0,
        "validate_every is 1 or more": recipe.validate_every >= 1,
        "save_every_minutes is 0 or more": recipe.save_every_minutes >= 0,
        "keep_every_epochs is 0 or more, keep_most 1 or more": recipe.keep_every_epochs >= 0 and recipe.keep_most >= 1,
        f"schedule.curve is one of {', '.join(CURVES)}": schedule.curve in CURVES,
        f"optimizer.name is one of {', '.join(OPTIMIZERS)}": recipe.optimizer.name in OPTIMIZERS,
        "optimizer.momentum is above 0 for optimizer.nesterov": recipe.optimizer.momentum > 0
        or not recipe.optimizer.nesterov,
        "optimizer.momentum and optimizer.beta2 are above 0 for adamw": min(
            recipe.optimizer.momentum, recipe.optimizer.beta2
        )
        > 0
        or recipe.optimizer.name != "adamw",
        "optimizer.weight_decay is 0 or more": recipe.optimizer.weight_decay >= 0,
        "optimizer.clip_norm is 0 or more": recipe.optimizer.clip_norm >= 0,
        "optimizer.accumulate is 1 or more": recipe.optimizer.accumulate >= 1,
        "optimizer.ema_decay is at least 0 and below 1": 0 <= recipe.optimizer.ema_decay < 1,
        "schedule.start_rate and schedule.end_rate are at least 0 and at most schedule.learning_rate": 0
        <= min(schedule.start_rate, schedule.end_rate)
        <= max(schedule.start_rate, schedule.end_rate)
        <= schedule.learning_rate,
        "schedule.milestones are in order": list(schedule.milestones) == sorted(schedule.milestones),
        f"precision.level is one of {', '.join(PRECISIONS)}": recipe.precision.level in PRECISIONS,
        "precision.loss_scale is at least 1 and at most 2^32": 1 <= recipe.precision.loss_scale <= 2**32,
        f"frozen_bn is one of {', '.join(FROZEN_BN)}": recipe.frozen_bn in FROZEN_BN,
        "mixup is 0 or more": recipe.mixup >= 0,
    }
    for rule, holds in rules.items():
        if not holds:
            raise InputError(f"the recipe is out of range: {rule}")
