"""What test_ascend.py runs while MindSpore saves its graphs:  python ascend_jobs.py NAME OPTIONS"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import mindspore as ms
import numpy as np

from train import devices, step
from train.config import PrecisionConfig, load_recipe
from train.models import build_model

if __name__ == "__main__":
    name, options = sys.argv[1], json.loads(sys.argv[2])
    devices.use("CPU", seed=1)
    batch = np.zeros((2, 8, 32, 32, 3), np.uint8)
    if name == "glore_resnet":  # for images
        batch = np.zeros((2, 3, 64, 64), np.float32)
        step.FromBytes = lambda network, *_: network
    recipe = load_recipe(ROOT / "train/recipes/ucf101_r3d50.yaml")
    recipe = replace(recipe, batch_size=2, epochs=1, precision=PrecisionConfig("O2"))  # as on Ascend
    network = build_model(name, num_classes=5, **options)
    cell = step.new_step(network, recipe, 1)
    cell.compile(ms.Tensor(batch), ms.Tensor([0, 1], ms.int32), ms.Tensor([1, 1], ms.float32))
