from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from preprocess.common.errors import InputError
from train.pth import LEGACY_MAGIC, read_pth


def described(
    key: str,
    shape: tuple[float, ...],
    kind: str = "FloatStorage",
    strides: tuple[int, ...] | None = None,
    offset: int = 0,
    length: int | None = None,
) -> str:
    """The pickle of a tensor as torch.save writes it, in the text form of protocol 0; by default it fills its storage."""
    strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape))) if strides is None else strides
    length = int(np.prod(shape)) if length is None else length
    sizes, steps = ("".join(f"{'IF'[isinstance(n, float)]}{n}\n" for n in row) for row in (shape, strides))
    storage = f"(Vstorage\nctorch\n{kind}\nV{key}\nVcpu\nI{length}\ntQ"
    return f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n({sizes}t({steps}tI00\n(dtR"


def state_dict(*tensors: tuple[str, str]) -> bytes:
    return ("(" + "".join(f"V{name}\n{text}" for name, text in tensors) + "d.").encode()


def write_zip(path: Path, pickled: bytes, *storages: bytes, **options: object) -> None:
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[arg-type]
        archive.writestr("mine/data.pkl", pickled)
        for key, data in enumerate(storages):
            archive.writestr(f"mine/data/{key}", data)


def write_legacy(path: Path, pickled: bytes, *storages: np.ndarray, little: bool = True) -> None:
    header = [LEGACY_MAGIC, 1001, {"protocol_version": 1001, "little_endian": little}]
    keys = pickle.dumps([str(key) for key in range(len(storages))], 2)
    data = b"".join(len(numbers).to_bytes(8, "little") + numbers.tobytes() for numbers in storages)
    path.write_bytes(b"".join(pickle.dumps(value, 2) for value in header) + pickled + keys + data)


WEIGHT = np.arange(6, dtype="<f4") + 0.5
TENSOR = state_dict(("fc.weight", described("0", (2, 3))))


def test_both_formats_give_a_tensors_numbers_in_its_shape(tmp_path: Path) -> None:
    write_zip(tmp_path / "zip.pth", TENSOR, WEIGHT.tobytes())
    write_legacy(tmp_path / "legacy.pth", TENSOR, WEIGHT)
    for path in (tmp_path / "zip.pth", tmp_path / "legacy.pth"):
        found = read_pth(path)
        assert list(found) == ["fc.weight"]
        assert (found["fc.weight"] == WEIGHT.reshape(2, 3)).all()


def test_views_strides_and_number_types_are_read(tmp_path: Path) -> None:
    counts = np.array([7], "<i8")
    halves = np.array([0.5, -2], "<f2")
    upper = np.array([0x3F80, 0xC000], "<u2")  # bfloat16 of 1 and -2
    pickled = state_dict(
        ("turned", described("0", (3, 2), strides=(1, 3), length=6)),
        ("part", described("0", (2,), offset=4, length=6)),
        ("counter", described("1", (), "LongStorage")),
        ("half", described("2", (2,), "HalfStorage")),
        ("bfloat16", described("3", (2,), "BFloat16Storage")),
    )
    write_zip(tmp_path / "a.pth", pickled, *(a.tobytes() for a in (WEIGHT, counts, halves, upper)))
    write_legacy(tmp_path / "b.pth", pickled, WEIGHT, counts, halves, upper)
    for path in (tmp_path / "a.pth", tmp_path / "b.pth"):
        found = read_pth(path)
        assert (found["turned"] == WEIGHT.reshape(2, 3).T).all()
        assert (found["part"] == WEIGHT[4:]).all()
        assert found["counter"] == 7
        assert (found["half"] == halves).all()
        assert (found["bfloat16"] == [1, -2]).all()


def test_of_a_whole_training_state_only_the_state_dict_is_read(tmp_path: Path) -> None:
    momentum, weight = described("0", (6,)), described("1", (2, 3))
    pickled = (
        f"(Vepoch\nI200\nVoptimizer\n(Vbuffer\n{momentum}dVstate_dict\n(Vfc.weight\n{weight}d"
        "Vscheduler\n(Vmilestones\nccollections\nCounter\n((I50\nI1\ndtRdd."
    ).encode()
    write_zip(tmp_path / "a.pth", pickled, bytes(24), WEIGHT.tobytes())
    write_legacy(tmp_path / "b.pth", pickled, np.zeros(6, "<f4"), WEIGHT)
    for path in (tmp_path / "a.pth", tmp_path / "b.pth"):
        found = read_pth(path)
        assert list(found) == ["fc.weight"]
        assert (found["fc.weight"] == WEIGHT.reshape(2, 3)).all()


class Payload:
    """Unpickled by pickle itself, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", ["bare", "zip", "legacy"])
def test_a_malicious_pickle_is_refused_by_name_and_does_not_run(form: str, protocol: int, tmp_path: Path) -> None:
    proof = tmp_path / "it-ran"
    pickled = pickle.dumps({"state_dict": {}, "arch": Payload(proof)}, protocol)
    pickle.loads(pickled)
    proof.rmdir()  # the payload works where nothing keeps it from running
    path = tmp_path / "evil.pth"
    if form == "bare":
        path.write_bytes(pickled)
    else:
        (write_zip if form == "zip" else write_legacy)(path, pickled)
    with pytest.raises(InputError, match=r"wants to call (posix|nt)\.mkdir, which is refused"):
        read_pth(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"cbuiltins\neval\n(V1\ntR.",
        b"(Vexit(1)\nibuiltins\nexec\n.",
        b"(cos\nsystem\nVtrue\no.",
        b"ctorch._utils\n_rebuild_tensor_v3\n(tR.",
        b"ctorch.serialization\nload\n(tR.",
        b"ccollections\nOrderedDict.fromkeys\n(tR.",
        b"cmodels.resnet\nResNet\n(tR.",
    ],
)
def test_every_name_but_those_of_tensors_is_refused(pickled: bytes, tmp_path: Path) -> None:
    write_zip(tmp_path / "evil.pth", pickled)
    with pytest.raises(InputError, match="which is refused: only tensors are read"):
        read_pth(tmp_path / "evil.pth")


@pytest.mark.parametrize(
    ("shape", "lies"),
    [
        ((2, 4), {"length": 6}),
        ((2**40, 2**40), {"length": 6}),
        ((2**40, 2**20), {"length": 6, "strides": (0, 0)}),
        ((2**40,), {}),
        ((2, 3), {"offset": 1}),
        ((2, 3), {"offset": -1}),
        ((2, 3), {"strides": (-3, 1)}),
        ((2, 3), {"strides": (3,)}),
        ((2, 3), {"length": 7}),
        ((2, 3), {"length": -1}),
        ((2, 1.5), {"length": 6, "strides": (3, 1)}),
        ((0, 3), {"length": 6}),
    ],
    ids=str,
)
def test_a_tensor_that_is_not_within_its_storage_is_refused(
    shape: tuple[int, ...], lies: dict[str, object], tmp_path: Path
) -> None:
    pickled = state_dict(("fc.weight", described("0", shape, **lies)))  # type: ignore[arg-type]
    write_zip(tmp_path / "a.pth", pickled, WEIGHT.tobytes())
    write_legacy(tmp_path / "b.pth", pickled, WEIGHT)
    for path in (tmp_path / "a.pth", tmp_path / "b.pth"):
        with pytest.raises(InputError, match=r"[ab]\.pth is damaged or no PyTorch file"):
            read_pth(path)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_file_cut_off_anywhere_is_damaged(write: object, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    write(path, TENSOR, WEIGHT.tobytes() if write is write_zip else WEIGHT)  # type: ignore[operator]
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.pth"):
            read_pth(path)


def test_a_flipped_byte_in_a_zips_numbers_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write_zip(path, TENSOR, WEIGHT.tobytes())
    path.write_bytes(path.read_bytes().replace(WEIGHT.tobytes(), WEIGHT[::-1].tobytes()))
    with pytest.raises(InputError, match="Bad CRC-32"):
        read_pth(path)


def test_zips_that_grow_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    write_zip(path, TENSOR, bytes(1 << 20), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="is a compressed zip"):
        read_pth(path)


@pytest.mark.parametrize(
    ("pickled", "says"),
    [
        (b"(lp0\n.", "holds no tensors by name"),
        (b"(Vepoch\nI3\nd.", "holds no tensors by name"),
        (b"I5\n.", "holds no tensors by name"),
        (state_dict(("x", described("9", (2, 3)))), "is damaged"),
        (state_dict(("x", described("0", (2, 3), "QInt8Storage"))), "wants to call torch.QInt8Storage"),
        (b"\x80\x02r\xff\xff\xff\xff.", "is damaged"),  # PUT number 4294967295, which pickle in C would make room for
    ],
)
def test_a_file_that_holds_something_else_is_refused_in_one_line(pickled: bytes, says: str, tmp_path: Path) -> None:
    write_zip(tmp_path / "other.pth", pickled, WEIGHT.tobytes())
    with pytest.raises(InputError, match=says) as raised:
        read_pth(tmp_path / "other.pth")
    assert "\n" not in str(raised.value)


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for content in (b"", b"hello", bytes(1000), pickle.dumps([1, 2])):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.pth is"):
            read_pth(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"zip without data\.pkl"):
        read_pth(path)
    write_legacy(path, TENSOR, WEIGHT, little=False)
    with pytest.raises(InputError, match="big-endian"):
        read_pth(path)
