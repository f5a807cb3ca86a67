"""A network's layers by name."""

from __future__ import annotations

from mindspore import nn

from preprocess.common.errors import InputError, nearest


def layer_names(network: nn.Cell) -> list[str]:
    """The network's direct parts, in the order in which they run, down to the last before the classifier."""
    return list(network.name_cells())[:-1]


def check_layer(network: nn.Cell, layer: str) -> None:
    """Check that the network has a layer.

    Raises:
        InputError: it has none of that name.
    """
    names = layer_names(network)
    if layer not in names:
        raise InputError(f"--layer {layer} is not in this network{nearest(layer, names)} It has {', '.join(names)}")


def cut_after(network: nn.Cell, layer: str) -> None:
    """Leave out all that comes after `layer` but the mean over time and place: the network gives features_NC."""
    names = list(network.name_cells())
    for name in names[names.index(layer) + 1 :]:
        setattr(network, name, nn.Identity())
