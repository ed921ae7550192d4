"""A large object as a seekable stream that fetches only the bytes that are read."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 4 * 1024**2
"""Fetched at once, and kept, where less is read."""
_MOST_BYTES = 16 * 1024**2
"""Of one request, where more is read at once."""


class RangedFile(io.RawIOBase):
    """The bytes of an object, by requests for ranges; `ranged_file` puts a buffer before it.

    Args:
        size: Of the object, in bytes.
        fetch: Gives the bytes from a start to an end, which is not among them.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere; nothing is fetched for it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, f"{start + offset} lies before the start")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer from here on, or less of it."""
        view = memoryview(buffer).cast("B")
        end = min(self._position + min(len(view), _MOST_BYTES), self._size)
        if end <= self._position:
            return 0
        data = self._fetch(self._position, end)
        if len(data) != end - self._position:
            raise OSError(f"{len(data)} bytes came where {end - self._position} were asked for")
        view[: len(data)] = data
        self._position = end
        return len(data)

    def readall(self) -> bytes:
        """All bytes from here on."""
        return b"".join(iter(lambda: self.read(_MOST_BYTES) or b"", b""))


def ranged_file(size: int, fetch: Callable[[int, int], bytes]) -> io.BufferedReader:
    """A `RangedFile` behind a buffer of one block, so that small reads cost no request each."""
    return io.BufferedReader(RangedFile(size, fetch), BLOCK_BYTES)
