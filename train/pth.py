"""PyTorch's files of weights, read without PyTorch and without running anything that they say.

A .pth file is a pickle, and a pickle is a program. Here its calls are limited to those that describe tensors, all of which
only take notes; any other name it asks for is refused. Two formats: a zip of `data.pkl` and one entry a storage (since
PyTorch 1.6), and before that five pickles in a row, then the storages' bytes. Source: torch.save of PyTorch 1.4 and 2.13.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess.common.errors import InputError

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
BFLOAT16 = "bfloat16"
# storage class -> the NumPy type of its numbers; bfloat16 has none: it is the upper half of a float32
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class Storage(NamedTuple):
    """A run of numbers in the file: its key, their type and how many they are."""

    key: str
    dtype: str
    length: int


class StoredTensor(NamedTuple):
    """A tensor as the pickle describes it: a view of a storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Pickle(pickle._Unpickler):  # the one in Python: the one in C lets a file claim any amount of memory
    """Unpickles plain containers, numbers, texts and notes of tensors, and refuses all else by name.

    `storages` are those that the pickle names, by key.
    """

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        super().__init__(stream, encoding="utf-8")
        self.path = path
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        # made for every call, so that no file can leave anything behind in them
        def tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
            if not isinstance(storage, Storage):
                raise ValueError("a tensor without a storage")
            return StoredTensor(storage, offset, tuple(shape), tuple(strides))

        def parameter(data: Any, *_: Any) -> Any:
            return data

        allowed: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("collections", "Counter"): dict,  # of the milestones of the learning rate
            ("torch._utils", "_rebuild_tensor"): tensor,
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            ("torch._utils", "_rebuild_parameter"): parameter,
        }
        if (module, name) in allowed:
            return allowed[module, name]
        if module in ("torch", "torch.cuda") and name in STORAGES:
            return STORAGES[name]
        raise InputError(
            f"{self.path} wants to call {module}.{name}, which is refused: only tensors are read; save the state_dict alone"
        )

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or dtype not in STORAGES.values() or any(view):
            raise ValueError("a storage of an unknown kind")
        self.storages[str(key)] = Storage(str(key), dtype, int(count))
        return self.storages[str(key)]


def read_pth(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a .pth or .pt file: those of its `state_dict` where it has one, else all at its top.

    What is stored next to a state_dict, optimiser and counters, is not read. The arrays cannot be written to.

    Raises:
        InputError: damaged, of another format, or asking for anything but tensors.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(ZIP_MAGIC))
            stream.seek(0)
            return read_zip(stream, path) if magic == ZIP_MAGIC else read_legacy(stream, path)
    except (InputError, OSError):
        raise
    except Exception as error:  # a damaged pickle or zip fails in any way
        said = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{path} is damaged or no PyTorch file ({said}): fetch it again") from None


def read_zip(stream: IO[bytes], path: Path) -> dict[str, NDArray[Any]]:
    """The format since PyTorch 1.6. Entries are not compressed and do not overlap, so that no more is read than is there."""
    archive = zipfile.ZipFile(stream)
    entries = archive.infolist()
    stored_bytes = sum(entry.file_size for entry in entries)
    if stored_bytes > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(f"{path} is a compressed zip, which torch.save does not write: save the state_dict again")
    names = {entry.filename for entry in entries}
    folders = [name.removesuffix("data.pkl") for name in names if name.split("/")[-1] == "data.pkl"]
    if len(folders) != 1:
        raise InputError(f"{path} is a zip without data.pkl: torch.save did not write it")
    folder = folders[0]
    if f"{folder}byteorder" in names:
        check_byte_order(archive.read(f"{folder}byteorder") == b"little", path)
    value = Pickle(io.BytesIO(archive.read(f"{folder}data.pkl")), path).load()
    tensors = named_tensors(value, path)
    data = {key: archive.read(f"{folder}data/{key}") for key in {tensor.storage.key for tensor in tensors.values()}}
    return {name: view(name, tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}


def read_legacy(stream: IO[bytes], path: Path) -> dict[str, NDArray[Any]]:
    """The format before PyTorch 1.6: magic number, version, system and the object, each pickled, then the storages' keys,
    then for each storage how many numbers it has, in 8 bytes, and the numbers."""
    if Pickle(stream, path).load() != LEGACY_MAGIC:
        raise InputError(f"{path} is a pickle that torch.save did not write")
    Pickle(stream, path).load()
    check_byte_order(Pickle(stream, path).load()["little_endian"], path)
    main = Pickle(stream, path)
    tensors = named_tensors(main.load(), path)
    wanted = {tensor.storage.key for tensor in tensors.values()}
    size_bytes = path.stat().st_size
    data = {}
    for key in Pickle(stream, path).load():
        storage = main.storages[key]
        count = int.from_bytes(stream.read(8), "little")
        storage_bytes = storage.length * item_bytes(storage.dtype)
        if count != storage.length or stream.tell() + storage_bytes > size_bytes:
            raise ValueError("it ends within a tensor's numbers")
        if key in wanted:
            data[key] = stream.read(storage_bytes)
        else:
            stream.seek(storage_bytes, io.SEEK_CUR)
    return {name: view(name, tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}


def check_byte_order(little: bool, path: Path) -> None:
    """Check that the numbers are little-endian.

    Raises:
        InputError: they are not.
    """
    if not little:
        raise InputError(f"{path} was written on a big-endian machine: save it again on another")


def named_tensors(value: Any, path: Path) -> dict[str, StoredTensor]:
    """The tensors by name: of the `state_dict` within, else of the dict itself.

    Raises:
        InputError: there is none.
    """
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    found = {name: item for name, item in value.items() if isinstance(item, StoredTensor)} if isinstance(value, dict) else {}
    if not found:
        raise InputError(f"{path} holds no tensors by name: save the network's state_dict")
    return found


def item_bytes(dtype: str) -> int:
    """Bytes of one number."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def view(name: str, tensor: StoredTensor, data: bytes) -> NDArray[Any]:
    """The tensor's numbers, in place.

    Raises:
        ValueError: they lie outside of its storage.
    """
    storage, offset, shape, strides = tensor
    places = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(isinstance(place, int) and place >= 0 for place in places):
        raise ValueError(f"{name} has no proper shape")
    reach = offset + 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 in shape or reach > storage.length or math.prod(shape) > storage.length:
        raise ValueError(f"{name} lies outside of its storage")
    if storage.dtype == BFLOAT16:
        numbers = (np.frombuffer(data, "<u2", storage.length).astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(data, storage.dtype, storage.length)
    steps = [stride * numbers.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
