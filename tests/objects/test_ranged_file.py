"""Ranged files fetch only the bytes that are read, in few requests."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from tumorml.objects import ranged_file as module
from tumorml.objects.ranged_file import BLOCK_BYTES, ranged_file

DATA = np.random.default_rng(1).bytes(5 * BLOCK_BYTES + 7)


class Fetched:
    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.ranges: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> bytes:
        self.ranges.append((start, end))
        return self.data[start:end]

    def file(self) -> io.BufferedReader:
        return ranged_file(len(self.data), self)

    @property
    def bytes(self) -> int:
        return sum(end - start for start, end in self.ranges)


@pytest.mark.parametrize("limit", [BLOCK_BYTES // 3, 16 * BLOCK_BYTES])
def test_ranged_file_reads_like_bytes_io(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(module, "_MAX_REQUEST_BYTES", limit)
    rng = np.random.default_rng(2)
    file, known = Fetched().file(), io.BytesIO(DATA)
    for _ in range(50):
        offset, whence = int(rng.integers(len(DATA))), int(rng.choice([0, 2]))
        offset = -offset if whence else offset
        assert file.seek(offset, whence) == known.seek(offset, whence)
        size = int(rng.choice([0, 1, 1000, BLOCK_BYTES - 1, 2 * BLOCK_BYTES + 1]))
        assert file.read(size) == known.read(size)
        assert file.tell() == known.tell()
    assert file.seek(-9, 1) == known.seek(-9, 1)
    assert file.read() == known.read()
    assert (file.seek(len(DATA) + 5), file.read(), file.read(3)) == (len(DATA) + 5, b"", b"")
    with pytest.raises(OSError, match="before the start"):
        file.seek(-len(DATA) - 1, 2)


def test_response_of_wrong_length_raises_os_error() -> None:
    file = ranged_file(100, lambda start, end: DATA)
    with pytest.raises(OSError, match="bytes instead of 100"):
        file.read(10)


def test_small_reads_share_requests() -> None:
    fetched = Fetched()
    file = fetched.file()
    while file.read(1000):
        pass
    assert len(fetched.ranges) == 6
    assert fetched.bytes == len(DATA)
    fetched.ranges.clear()
    file.seek(0)
    assert file.read() == DATA
    assert len(fetched.ranges) <= 3


def test_zip_fetches_only_its_directory_and_read_members() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in range(1000):
            archive.writestr(f"{name}.bin", np.random.default_rng(name).bytes(50_000))
    fetched = Fetched(packed.getvalue())
    with zipfile.ZipFile(fetched.file()) as archive:
        for name in range(500, 600):
            archive.read(f"{name}.bin")
    assert fetched.bytes < 100 * 50_000 + 3 * BLOCK_BYTES < len(fetched.data) / 2
    assert len(fetched.ranges) < 10
