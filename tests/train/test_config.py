from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mindspore as ms
import pytest
import yaml
from conftest import ROOT

from preprocess.common import cli
from preprocess.common.errors import InputError
from train import doctor
from train.config import difference, load_recipe
from train.freeze import freeze
from train.models import build_model
from train.recipe_options import RecipeOptions

RECIPES = sorted((ROOT / "train/recipes").glob("*.yaml"))
QUICK = ROOT / "train/recipes/quick_cpu.yaml"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_whole_in_range_and_says_how_to_run_it(path: Path) -> None:
    recipe = load_recipe(path)
    with ms.nn.utils.no_init_parameters():
        network = build_model(recipe.model.name, num_classes=3, **recipe.model.options())
    if recipe.freeze_until:
        freeze(network, recipe.freeze_until, recipe.frozen_bn)
    text = path.read_text()
    assert f"--recipe train/recipes/{path.name}" in text
    assert all(word in text for word in ("# Hardware:", "# Time:", "# Accuracy:"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.update(epoks=3), "unknown key 'epoks'; did you mean epochs?"),
        (lambda r: r["clip"].update(strde=3), "clip has an unknown key 'strde'; did you mean stride?"),
        (lambda r: r.update(epochs="ten"), "epochs is 'ten', expected int"),
        (lambda r: r["clip"].update(mean=[0.5]), "clip.mean is (0.5,), expected a list of float, float, float"),
        (lambda r: r.pop("schedule"), "mine.yaml: schedule is missing"),
        (lambda r: r.update(model=3), "mine.yaml: model is 3, not a mapping: the keys are name"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_key_and_the_nearest_name(change: object, says: str, tmp_path: Path) -> None:
    value = yaml.safe_load(QUICK.read_text())
    change(value)  # type: ignore[operator]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(value))
    with pytest.raises(InputError) as raised:
        load_recipe(tmp_path / "mine.yaml")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_recipe_that_is_not_there_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist; did you mean quick_cpu\?"):
        load_recipe(tmp_path / "quick.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,")
    with pytest.raises(InputError, match="is not YAML"):
        load_recipe(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\x81")
    with pytest.raises(InputError, match="is not YAML"):
        load_recipe(tmp_path / "bad.yaml")


OUT_OF_RANGE = [
    ("epochs", 0, "epochs is 0, expected 1 or more"),
    ("batch_size", 0, "batch_size is 0, expected 1 or more"),
    ("seed", -1, "seed is -1, expected 0 or more"),
    ("label_smoothing", 1.0, "label_smoothing is 1.0, expected at least 0 and below 1"),
    ("model.depth", 0, "model.depth is 0, expected above 0"),
    ("model.shortcut_type", "C", "model.shortcut_type is 'C', expected A or B or null"),
    ("clip.size", 0, "clip.size is 0, expected 1 or more"),
    ("clip.flip", 1.5, "clip.flip is 1.5, expected 0 to 1"),
    ("clip.std", [0.2, 0.0, 0.2], "clip.std is (0.2, 0.0, 0.2), expected three numbers above 0"),
    ("clip.crop_scale", [0.9, 0.2], "clip.crop_scale is (0.9, 0.2), expected"),
    ("clip.crop_ratio", [0.0, 1.0], "clip.crop_ratio is (0.0, 1.0), expected"),
    ("clip.sampling", "sparse", "clip.sampling is 'sparse', expected dense or centre or uniform"),
    ("clip.crop", "five", "clip.crop is 'five', expected resized or multiscale or centre"),
    ("clip.jitter", [0.1, -0.1, 0.0], "clip.jitter is (0.1, -0.1, 0.0), expected"),
    ("clip.mean", [0.4, float("nan"), 0.4], "clip.mean is (0.4, nan, 0.4), expected a finite number"),
    ("clip.test_crops", 2, "clip.test_crops is 2, expected 1 or 3"),
    ("clip.test_short_side", 8, "clip.test_short_side is 8, expected 0, or at least clip.size"),
    ("optimizer.name", "hope", "optimizer.name is 'hope', expected sgd or momentum or adamw"),
    ("optimizer.accumulate", 0, "optimizer.accumulate is 0, expected 1 or more"),
    ("optimizer.ema_decay", 1.0, "optimizer.ema_decay is 1.0, expected at least 0 and below 1"),
    ("optimizer.clip_norm", -1.0, "optimizer.clip_norm is -1.0, expected 0 or more"),
    ("optimizer.weight_decay", -1.0, "optimizer.weight_decay is -1.0, expected 0 or more"),
    ("optimizer.weight_decay", float("inf"), "optimizer.weight_decay is inf, expected a finite number"),
    ("schedule.curve", "spiral", "schedule.curve is 'spiral', expected steps or linear"),
    ("schedule.learning_rate", 0.0, "schedule.learning_rate is 0.0, expected above 0"),
    ("schedule.warmup_epochs", 99.0, "schedule.warmup_epochs is 99.0, expected below epochs"),
    ("schedule.start_rate", 9.0, "schedule.start_rate is 9.0, expected at least 0 and at most schedule.learning_rate"),
    ("schedule.milestones", [3, 2], "schedule.milestones is (3, 2), expected epochs in order"),
    ("schedule.factor", 0.0, "schedule.factor is 0.0, expected above 0"),
    ("precision.level", "bf16", "precision.level is 'bf16', expected O0 or O2 or O3 or auto"),
    ("precision.loss_scale", 0.0, "precision.loss_scale is 0.0, expected 1 to 2^32"),
    ("frozen_bn", "off", "frozen_bn is 'off', expected eval or train"),
    ("mixup", -0.2, "mixup is -0.2, expected 0 or more"),
    ("val_fraction", 0.6, "val_fraction is 0.6, expected 0 to 0.5"),
    ("choose_best_on", "luck", "choose_best_on is 'luck', expected held_out or test"),
    ("validate_every", -1, "validate_every is -1, expected 0 or more"),
    ("save_every_minutes", -1.0, "save_every_minutes is -1.0, expected 0 or more"),
    ("keep_every_epochs", -1, "keep_every_epochs is -1, expected 0 or more"),
    ("keep_most", 0, "keep_most is 0, expected 1 or more"),
]


def write_changed(path: Path, name: str, value: object) -> Path:
    """Write the quick recipe with one value, such as `clip.size`, changed."""
    recipe = yaml.safe_load(QUICK.read_text())
    section, _, field = name.rpartition(".")
    (recipe.setdefault(section, {}) if section else recipe)[field] = value
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.mark.parametrize(("name", "value", "says"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_with_file_name_and_value(
    name: str, value: object, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_changed(tmp_path / "mine.yaml", name, value)
    with pytest.raises(InputError) as raised:
        load_recipe(path)
    assert str(raised.value).startswith(f"{path}: {says}")
    with pytest.raises(InputError) as refused:
        doctor.main(doctor.Options(recipe=path))
    assert str(refused.value) == str(raised.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("model.name", "resnet", "no network is called 'resnet'"),
        ("model.depth", 19, "resnet3d has no depth 19"),
        ("model.width", 2.0, "resnet3d has no option 'width'"),
        ("freeze_until", "layer9", "freeze_until: the network has no stage 'layer9'"),
    ],
)
def test_the_doctor_refuses_a_recipe_whose_network_cannot_be_built(
    name: str, value: object, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        doctor.main(doctor.Options(recipe=write_changed(tmp_path / "mine.yaml", name, value)))


def test_a_value_out_of_range_is_refused_where_it_is_made() -> None:
    recipe = load_recipe(QUICK)
    with pytest.raises(InputError, match=r"^clip.flip is 2, expected 0 to 1$"):
        replace(recipe.clip, flip=2)
    with pytest.raises(InputError, match=r"^optimizer.momentum is 0.0, expected above 0 for adamw$"):
        replace(recipe.optimizer, name="adamw", momentum=0.0)
    with pytest.raises(InputError, match=r"^optimizer.momentum is 0.0, expected above 0 for optimizer.nesterov$"):
        replace(recipe.optimizer, name="sgd", nesterov=True, momentum=0.0)
    with pytest.raises(InputError, match=r"^val_fraction is 0.2, expected 0 where choose_best_on is test$"):
        replace(recipe, choose_best_on="test", val_fraction=0.2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--clip.flip", "2"], "clip.flip is 2.0, expected 0 to 1"),
        (["--clip.sampling", "sparse"], "invalid choice 'sparse' for argument '--clip.sampling'"),
        (["--schedule.learning-rate", "nan"], "schedule.learning_rate is nan, expected a finite number"),
        (["--schedule.learning-rate", "0.0001"], "schedule.end_rate is"),
        (["--epochs", "0"], "epochs is 0, expected 1 or more"),
    ],
)
def test_an_option_out_of_range_is_refused_in_one_line(arguments: list[str], says: str) -> None:
    recipe = replace(load_recipe(QUICK), schedule=replace(load_recipe(QUICK).schedule, end_rate=0.001))
    with pytest.raises(InputError) as raised:
        cli.parse(RecipeOptions, arguments, RecipeOptions(settings=recipe))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_options_that_fit_only_together_are_taken_together() -> None:
    recipe = load_recipe(QUICK)
    side = 2 * max(recipe.clip.size, recipe.clip.test_short_side)
    options = cli.parse(
        RecipeOptions,
        ["--clip.size", str(side), "--clip.test-short-side", str(side + 2)],
        RecipeOptions(settings=recipe),
    )
    assert (options.settings.clip.size, options.settings.clip.test_short_side) == (side, side + 2)


def test_two_recipes_are_told_apart_by_the_first_value_that_differs() -> None:
    recipe = load_recipe(QUICK)
    assert difference(recipe, load_recipe(QUICK)) == ""
    other = replace(recipe, schedule=replace(recipe.schedule, learning_rate=0.5))
    assert difference(other, recipe) == f"schedule.learning_rate is 0.5, not {recipe.schedule.learning_rate}"
