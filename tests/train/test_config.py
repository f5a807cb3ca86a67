from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from preprocess.common.errors import InputError
from train.config import check, difference, load_recipe
from train.freeze import freeze
from train.models import build_model

RECIPES = sorted((ROOT / "train/recipes").glob("*.yaml"))
QUICK = ROOT / "train/recipes/quick_cpu.yaml"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_whole_in_range_and_says_how_to_run_it(path: Path) -> None:
    recipe = load_recipe(path)
    check(recipe)
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
        (lambda r: r["clip"].update(mean=[0.5]), "clip: mean is (0.5,), expected"),
        (lambda r: r.pop("schedule"), "is incomplete: missing 1 required positional argument: 'schedule'"),
        (lambda r: r.update(model=3), "model should have the keys name"),
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


@pytest.mark.parametrize(
    ("section", "field", "value", "says"),
    [
        (None, "epochs", 0, "epochs"),
        ("clip", "flip", 1.5, "clip.flip"),
        ("schedule", "curve", "spiral", "schedule.curve"),
        ("schedule", "warmup_epochs", 99.0, "warmup_epochs"),
        ("clip", "crop_scale", (0.9, 0.2), "crop_scale"),
        ("clip", "sampling", "sparse", "clip.sampling is one of dense, centre, uniform"),
        ("clip", "crop", "five", "clip.crop is one of resized, multiscale, centre"),
        ("clip", "jitter", (0.1, -0.1, 0.0), "clip.jitter"),
        ("clip", "mean", (0.4, float("nan"), 0.4), "clip.mean is .* no number to compute with"),
        ("optimizer", "weight_decay", float("inf"), "optimizer.weight_decay is inf"),
        ("clip", "test_crops", 2, "clip.test_crops is 1 or 3"),
        ("optimizer", "name", "hope", "optimizer.name is one of sgd, momentum, adamw"),
        ("optimizer", "momentum", 0.0, "above 0 for adamw"),
        ("optimizer", "accumulate", 0, "optimizer.accumulate"),
        ("optimizer", "ema_decay", 1.0, "optimizer.ema_decay"),
        ("optimizer", "clip_norm", -1.0, "optimizer.clip_norm"),
        ("optimizer", "weight_decay", -1.0, "optimizer.weight_decay"),
        ("schedule", "start_rate", 1.0, "schedule.start_rate"),
        ("schedule", "milestones", (3, 2), "schedule.milestones"),
        ("precision", "level", "bf16", "precision.level is one of O0, O2, O3, auto"),
        ("precision", "loss_scale", 0.0, "precision.loss_scale"),
        (None, "frozen_bn", "off", "frozen_bn is one of eval, train"),
        (None, "mixup", -0.2, "mixup"),
        (None, "val_fraction", 0.6, "val_fraction is at least 0 and at most 0.5"),
        (None, "choose_best_on", "luck", "choose_best_on is one of held_out, test"),
        (None, "validate_every", 0, "validate_every"),
        (None, "save_every_minutes", -1.0, "save_every_minutes"),
        (None, "keep_every_epochs", -1, "keep_every_epochs"),
        (None, "keep_most", 0, "keep_most"),
    ],
)
def test_values_out_of_range_are_refused_by_name(section: str | None, field: str, value: object, says: str) -> None:
    recipe = load_recipe(QUICK)
    if section:
        recipe = replace(recipe, **{section: replace(getattr(recipe, section), **{field: value})})
    else:
        recipe = replace(recipe, **{field: value})
    with pytest.raises(InputError, match=says):
        check(recipe)


def test_choosing_on_the_test_list_holds_nothing_out_beside_it() -> None:
    with pytest.raises(InputError, match="val_fraction is 0 where choose_best_on is test"):
        check(replace(load_recipe(QUICK), choose_best_on="test", val_fraction=0.2))


def test_two_recipes_are_told_apart_by_the_first_value_that_differs() -> None:
    recipe = load_recipe(QUICK)
    assert difference(recipe, load_recipe(QUICK)) == ""
    other = replace(recipe, schedule=replace(recipe.schedule, learning_rate=0.5))
    assert difference(other, recipe) == f"schedule.learning_rate is 0.5, not {recipe.schedule.learning_rate}"
