"""MindSpore's own loop of data sinking, on a CPU: `with sinking() as queues: model.train(..., dataset_sink_mode=True)`.

`Model.train`, its sink process and the dataset helper run as they do on Ascend. Replaced are the answer to which device this
is, the queue that carries batches to the device, and the network that the device runs for `sink_size` batches of that queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import mindspore.dataset as ds
from mindspore import nn
from mindspore.train import dataset_helper, model


class AscendContext:
    """`mindspore.context`, which says that the device is Ascend."""

    def __init__(self, context: Any) -> None:
        self.context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    def get_context(self, key: str) -> Any:
        return "Ascend" if key == "device_target" else self.context.get_context(key)


class Queue:
    """The queue to the device, in which a batch is put when it is asked for. `asked` is what MindSpore asked of it."""

    queue_name = "queue"

    def __init__(self, dataset: ds.Dataset) -> None:
        self.dataset = dataset
        self.asked: list[str] = []
        self.waiting = 16
        self.fetched_s = 0.0

    def send(self, epochs: int) -> None:
        self.asked.append("send")
        self.epochs = self.dataset.create_tuple_iterator(num_epochs=epochs, output_numpy=False, do_copy=True)
        self.batches = iter(self.epochs)

    def take(self) -> list[Any]:
        """The next batch, of the next epoch after an epoch's last."""
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.epochs)
            batch = next(self.batches)
        return batch

    def continue_send(self) -> None:
        self.asked.append("continue_send")

    def stop_send(self) -> None:
        self.asked.append("stop_send")

    def release(self) -> None:
        self.asked.append("release")

    def get_data_info(self) -> tuple[Any, Any]:
        return self.dataset.output_types(), self.dataset.output_shapes()

    def get_mbuf_queue_size(self) -> int:
        return self.waiting

    def get_send_info(self) -> list[tuple[int, int, float, float]]:
        return [(1, 2, 0.0, self.fetched_s)]


class Sunk(nn.Cell):
    """A network that takes its batches from the queue: one call is one sink."""

    def __init__(self, network: nn.Cell, helper: Any) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.helper = helper

    def __call__(self) -> Any:
        queue = self.helper.iter.dataset.__transfer_dataset__
        outputs = [self.network(*queue.take()) for _ in range(self.helper.sink_size())]
        return outputs[-1]


@contextmanager
def sinking() -> Iterator[list[Queue]]:
    """Within the block MindSpore sinks as on Ascend; yields the queues that it makes."""
    queues: list[Queue] = []

    def new_queue(dataset: ds.Dataset, *_: Any, **__: Any) -> Queue:
        queues.append(Queue(dataset))
        return queues[-1]

    def network_of(network: nn.Cell, helper: Any, *_: Any) -> Sunk:
        return Sunk(network, helper)

    def not_offloaded(_: Any, __: Any, network: nn.Cell) -> nn.Cell:
        return network

    with ExitStack() as stack:
        for module in (model, dataset_helper):
            stack.enter_context(mock.patch.object(module, "context", AscendContext(module.context)))
        stack.enter_context(mock.patch.object(dataset_helper, "_exec_datagraph", new_queue))
        stack.enter_context(mock.patch.object(dataset_helper, "_generate_network_with_dataset", network_of))
        stack.enter_context(mock.patch.object(dataset_helper.offload, "check_add_offload_sink_mode", not_offloaded))
        yield queues
