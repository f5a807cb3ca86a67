from __future__ import annotations

import io
import zipfile

import pytest

from preprocess.stored_zip import StoredZip


def members(count: int) -> list[tuple[str, bytes]]:
    return [(f"image_{n:05d}.jpg", bytes([n % 256]) * (n % 300)) for n in range(1, count + 1)]


def written(count: int) -> bytes:
    stream = io.BytesIO()
    archive = StoredZip(stream)
    for name, data in members(count):
        archive.write(name, data)
    archive.close()
    return stream.getvalue()


@pytest.mark.parametrize("count", [0, 1, 300, 65_536])  # the last has more members than the plain form can count
def test_the_bytes_are_those_of_the_standard_library(count: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members(count):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    assert written(count) == stream.getvalue()


class Far(io.RawIOBase):
    """Takes any number of bytes, and keeps those from `keep` on."""

    def __init__(self, keep: int) -> None:
        self.keep, self.position, self.tail = keep, 0, b""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.position += len(data)
        if self.position > self.keep:
            self.tail += data
        return len(data)


def test_members_beyond_4_gib_are_found_where_they_are() -> None:
    """The directory of 17 members of 256 MiB: the last begins at 4 GiB and a little."""
    big = bytes(1 << 28)
    far = Far(16 * len(big) + 16 * 45)
    archive = StoredZip(far)  # type: ignore[arg-type]
    for number in range(16):
        archive.write(f"image_{number:05d}.jpg", big)
    archive.write("image_00016.jpg", b"the last")
    archive.close()

    class Sparse(io.BytesIO):
        """What was written, with the first 4 GiB left out."""

        def seek(self, offset: int, whence: int = 0) -> int:
            return super().seek(offset - far.keep if whence == 0 else offset, whence) + far.keep

        def tell(self) -> int:
            return super().tell() + far.keep

    with zipfile.ZipFile(Sparse(far.tail)) as found:
        assert len(found.namelist()) == 17
        assert found.getinfo("image_00016.jpg").header_offset == far.keep
        assert found.read("image_00016.jpg") == b"the last"
