from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line

from mindrecord import checksums, manifest
from preprocess.common import files
from preprocess.common.errors import InputError

SHARD = "split-112-00000.mindrecord"


def flip(path: Path, position: int, bit: int) -> None:
    """Change one bit of a file, keeping its size and its time of modification."""
    stat = path.stat()
    with path.open("r+b") as stream:
        stream.seek(position)
        (byte,) = stream.read(1)
        stream.seek(position)
        stream.write(bytes([byte ^ 1 << bit]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_each_of_200_flipped_bits_is_found_in_its_file(pack: Path) -> None:
    packed = manifest.load(pack)
    stored = [file for shard in packed.shards for file in shard.stored_files]
    rng = np.random.default_rng(0)
    for number in range(200):
        file = stored[rng.integers(len(stored))] if number % 2 else stored[number % len(stored)]
        position, bit = int(rng.integers(file.size_bytes)), int(rng.integers(8))
        flip(pack / file.name, position, bit)
        assert list(checksums.check_files(pack, packed, 2, {}).damage) == [file.name]
        flip(pack / file.name, position, bit)
    assert not checksums.check_files(pack, packed, 2, {}).damage


def test_a_pack_is_hashed_once_and_again_only_what_changed(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hashed_now(folder: Path) -> str:
        checksums.check(folder, manifest.load(folder))
        return capsys.readouterr().out.strip()

    says = "8 files are as the manifest says; {} of them were hashed now"
    assert hashed_now(pack) == says.format(8)
    assert hashed_now(pack) == says.format(0)
    (pack / SHARD).touch()
    assert hashed_now(pack) == says.format(1)
    copy = shutil.copytree(pack, pack.parent / "copy")  # keeps times of modification, and has the memory in it
    assert hashed_now(copy) == says.format(8)


def test_a_changed_file_or_manifest_is_not_taken_as_remembered(pack: Path) -> None:
    packed = manifest.load(pack)
    checksums.check(pack, packed)
    flip(pack / SHARD, 1000, 3)
    with pytest.raises(InputError, match=f"{SHARD} has other bytes than were written to it: copy the records folder again"):
        checksums.check(pack, packed)
    assert checksums.remembered(pack).keys() == {f.name for s in packed.shards for f in s.stored_files} - {SHARD}
    (pack / "manifest.json").write_text((pack / "manifest.json").read_text() + " ")
    assert checksums.remembered(pack) == {}


def test_what_cannot_be_remembered_is_no_mistake(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, value: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(files, "write_json", refuse)
    checksums.check(pack, manifest.load(pack))
    assert not (pack / checksums.FILE_NAME).exists()
    (pack / checksums.FILE_NAME).write_text("{")  # nor is a memory that is damaged itself
    checksums.check(pack, manifest.load(pack))


@pytest.mark.parametrize(
    "command",
    [("train/train.py", "--out", "run"), ("eval/evaluate.py", "--checkpoint", "any.ckpt")],
)
def test_training_and_evaluation_refuse_a_damaged_shard_when_asked_to_look(
    command: tuple[str, ...], pack: Path, tmp_path: Path, run: Run
) -> None:
    flip(pack / SHARD, 5000, 0)
    flip(pack / f"{SHARD}.db", 5000, 0)
    line = error_line(run(*command, "--records", pack, "--verify", "full", code=2))
    assert f"{SHARD} has other bytes than were written to it: copy the records folder again" in line
    assert "1 more files are damaged: mindrecord/verify.py lists them" in line
    assert not (tmp_path / "run").exists()
