"""A seekable stream over a remote object that fetches only the bytes that are read."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 4 * 1024**2
"""Bytes that are fetched and buffered for a smaller read."""
_MAX_REQUEST_BYTES = 16 * 1024**2
"""Limit for one request; larger reads are split."""


class RangedFile(io.RawIOBase):
    """An unbuffered stream that reads by range requests; `ranged_file` adds a buffer.

    Args:
        size: Size of the object in bytes.
        fetch: Returns the bytes from a start (inclusive) to an end (exclusive).
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position; fetches nothing."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, f"position {start + offset} is before the start")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into the buffer and return the number of bytes, which may not fill it."""
        view = memoryview(buffer).cast("B")
        end = min(self._position + min(len(view), _MAX_REQUEST_BYTES), self._size)
        if end <= self._position:
            return 0
        data = self._fetch(self._position, end)
        if len(data) != end - self._position:
            raise OSError(f"received {len(data)} bytes instead of {end - self._position}")
        view[: len(data)] = data
        self._position = end
        return len(data)

    def readall(self) -> bytes:
        """Return all remaining bytes."""
        return b"".join(iter(lambda: self.read(_MAX_REQUEST_BYTES) or b"", b""))


def ranged_file(size: int, fetch: Callable[[int, int], bytes]) -> io.BufferedReader:
    """Return a `RangedFile` with a buffer of `BLOCK_BYTES`, so that small reads share requests."""
    return io.BufferedReader(RangedFile(size, fetch), BLOCK_BYTES)
