"""What all commands take that work by a recipe: its file, its values, and the records that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from train.config import DEFAULT_RECIPE, Recipe
from train.loader import Loader


@dataclass(frozen=True)
class Chosen:
    """The option that decides the others' defaults."""

    recipe: Path = DEFAULT_RECIPE


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """The first options of such a command; every value of the recipe is one too."""

    settings: Annotated[Recipe, tyro.conf.arg(name="")]
    recipe: Path = DEFAULT_RECIPE
    """A full configuration, in YAML; see train/recipes/."""
    records: Path = Path("work/records")
    """The records folder that mindrecord/build.py wrote."""
    split: str = "1"
    """Which of the data set's splits to train on."""
    loader: Loader = "auto"
    """What reads and decodes clips: threads of this process, or processes, which share no interpreter and hand batches
    over in /dev/shm. auto: processes where a rank has more than 8 cores and /dev/shm the room."""
