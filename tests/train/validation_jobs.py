"""What test_ranks.py runs in ranks and alone:  python validation_jobs.py OUT RECORDS SECONDS_A_BATCH

A validation by a network whose batches take that long, with the question to all ranks that training asks after each.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import mindspore as ms
from tiny_run import tiny_recipe

from mindrecord import manifest
from mindrecord.shard_reader import videos_of_split
from preprocess.catalog import TRAIN
from train import devices, trainer, validation
from train.training_data import TrainingData
from train.validation import Validator

if __name__ == "__main__":
    recipe = tiny_recipe()
    rank, ranks = devices.join()
    recipe = replace(recipe, clip=replace(recipe.clip, frames=1), model=replace(recipe.model, widen_factor=0.0625))
    recipe = replace(recipe, model=replace(recipe.model, conv1_t_size=1), batch_size=4)
    records = Path(sys.argv[2])
    videos = videos_of_split(records, manifest.load(records), "1", TRAIN)
    data = TrainingData(videos=videos, clip=recipe.clip, batch_size=recipe.batch_size, seed=1, rank=rank, ranks=ranks)
    validator = Validator(recipe, 2, videos, data)
    scorer = validator.scorer

    def slow(clip_NTHWC: ms.Tensor) -> ms.Tensor:
        time.sleep(float(sys.argv[3]))
        return scorer(clip_NTHWC)

    validator.scorer = slow  # type: ignore[assignment]
    weights = validation.weights_of(trainer.new_network(recipe, 2), None)
    devices.on_any_rank(False, ranks)  # all are there
    began = time.monotonic()
    accuracy = validator.accuracy(weights, lambda: devices.on_any_rank(False, ranks))
    result = {"accuracy": accuracy, "seconds": time.monotonic() - began}
    (Path(sys.argv[1]) / f"validation_{ranks}_{rank}.json").write_text(json.dumps(result))
