"""What test_ascend.py runs while MindSpore saves its graphs:  python ascend_jobs.py RECIPE NAME OPTIONS"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import mindspore as ms
import numpy as np

from train import devices
from train.config import ModelConfig, load_recipe
from train.scoring import Scorer
from train.step import new_step
from train.trainer import new_network

if __name__ == "__main__":
    recipe, model = load_recipe(Path(sys.argv[1])), ModelConfig(name=sys.argv[2], **json.loads(sys.argv[3]))
    recipe = replace(recipe, model=model, batch_size=2, epochs=2, schedule=replace(recipe.schedule, warmup_epochs=0))
    devices.use("CPU", seed=1)
    devices.own_level = lambda: "O2"  # as on Ascend
    windows = ms.Tensor(np.zeros((2, 1, 64, 64, 3) if model.for_images else (2, 8, 32, 32, 3), np.uint8))
    step = new_step(new_network(recipe, 5), recipe, 1)
    step.compile(windows, ms.Tensor([0, 1], ms.int32), ms.Tensor([1, 1], ms.float32))
    Scorer(new_network(recipe, 5), recipe.clip).compile(windows)
