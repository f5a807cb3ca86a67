"""Published weights to a MindSpore checkpoint, without PyTorch.

python train/convert.py r3d50_KM_200ep.pth --out r3d50_KM.ckpt
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import tyro

from preprocess.common import cli
from preprocess.common.errors import InputError
from preprocess.common.progress import say
from train import checkpoint, weights
from train.models import build_model
from train.models.infer_architecture import GUESSED, guess_model


@dataclass(frozen=True)
class Options:
    """Write the weights of a .pth, .pt, .safetensors or .ckpt file as a checkpoint with the names that this project uses.
    Which network they are of is told from the tensors' names and shapes; what does not fit it is an error."""

    source: tyro.conf.Positional[Path]
    """The file to read."""
    out: Path
    """The .ckpt to write, new; it appears whole or not at all."""


def main(options: Options) -> int:
    if options.out.suffix != ".ckpt" or options.out.exists():
        raise InputError(f"--out {options.out} should be a new file whose name ends in .ckpt")
    shapes = {name.removeprefix("module."): array.shape for name, array in weights.read(options.source).items()}
    guessed = guess_model(shapes)
    if guessed is None:
        raise InputError(
            f"{options.source} is of none of {', '.join(GUESSED)}, with tensors like {weights.shortened(list(shapes))}: "
            "only these networks' weights are converted"
        )
    name, model_options = guessed
    say(f"{options.source} is of {name}: {', '.join(f'{key} {value}' for key, value in model_options.items())}")
    network = build_model(name, **model_options)
    for line in weights.load_pretrained(network, options.source).lines():
        say(line)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write(options.out, {parameter.name: parameter for parameter in network.get_parameters()}, {})
    say(f"-> {options.out}")
    return 0


if __name__ == "__main__":
    cli.run(main, Options)
