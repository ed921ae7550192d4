"""Read an untrusted tar, compressed or not, as a stream with size limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, NamedTuple, Protocol

from tumorml.errors import DropRefusedError
from tumorml.scans.contents.entry import NOT_TEXT, OUTSIDE, TOO_LARGE, Entry, ReadEntry
from tumorml.scans.inbox.names import is_text, leads_outside, printable, unique
from tumorml.settings import Settings

_CHUNK_BYTES = 64 * 1024
_HEADER_BYTES = 4 * 1024**2
"""Limit for the headers between two members: ``tarfile`` holds long names and attributes in
memory."""
_SMALLEST_BOMB_BYTES = 64 * 1024**2
"""The compression ratio is checked from this unpacked size on."""
_XZ_MEMORY_BYTES = 256 * 1024**2
"""Limit for the memory that unpacking an xz may take."""


class TarContents:
    """The members of a tar, in archive order.

    The archive is read once for the list and once for the data. Both raise `DropRefusedError` if it
    is damaged or unpacks to more bytes than allowed; listing also if it has too many members.
    """

    def __init__(self, stream: IO[bytes], settings: Settings) -> None:
        self._stream = stream
        self._settings = settings

    @cached_property
    def entries(self) -> list[Entry]:
        """All members except folders; reads the whole archive once."""
        entries: list[Entry] = []
        limit = self._settings.max_archive_files
        with self._members() as members:
            for member in members:
                entries.append(member.entry)
                if len(entries) > limit:
                    raise DropRefusedError(f"The archive contains more than {limit:,} files.")
        return entries

    def read(self, paths: Container[str]) -> Iterator[ReadEntry]:
        """Read the entries with these paths; see `Contents.read`."""
        with self._members() as members:
            for entry, archive, header in members:
                if entry.refusal is None and entry.path in paths:
                    with _errors_as_refusals():
                        unpacked = archive.extractfile(header)
                        data = unpacked.read() if unpacked else b""
                    yield ReadEntry(entry, data, None)

    @contextmanager
    def _members(self) -> Iterator[Iterator[_Member]]:
        self._stream.seek(0)
        limited = _LimitedStream(_decompress(self._stream), self._stream, self._settings)
        with _errors_as_refusals():
            archive = tarfile.open(  # noqa: SIM115 - closed below
                fileobj=limited,  # type: ignore[call-overload]
                mode="r|",
                bufsize=_CHUNK_BYTES,
                encoding="utf-8",
                errors="surrogateescape",
            )
        try:
            yield self._walk(archive, limited)
        finally:
            archive.close()

    def _walk(self, archive: tarfile.TarFile, limited: _LimitedStream) -> Iterator[_Member]:
        taken: set[str] = set()
        while True:
            limited.allow_until(archive.offset + _HEADER_BYTES)
            with _errors_as_refusals():
                header = archive.next()
            if header is None:
                return
            limited.allow_until(archive.offset + _HEADER_BYTES)
            archive.members.clear()  # type: ignore[attr-defined]  # otherwise memory grows
            if not header.isdir():
                path = unique(printable(header.name), taken)
                yield _Member(Entry(path, header.size, self._refusal(header)), archive, header)

    def _refusal(self, header: tarfile.TarInfo) -> str | None:
        if not is_text(header.name):
            return NOT_TEXT
        if leads_outside(header.name):
            return OUTSIDE
        if header.issym() or header.islnk():
            return "It is a link, not a file: pack the file itself."
        if not header.isreg():
            return "It is a device or a pipe, not a file."
        if header.issparse():
            return "It is packed as a sparse file: pack it without --sparse."
        if header.size > self._settings.max_file_bytes:
            return TOO_LARGE.format(limit=self._settings.max_file_bytes)
        return None


class _Member(NamedTuple):
    entry: Entry
    archive: tarfile.TarFile
    header: tarfile.TarInfo


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _LimitedStream:
    """An unpacked stream that raises `DropRefusedError` when it yields too many bytes.

    Args:
        unpacked: The decompressed stream.
        packed: The archive file that it is decompressed from.
        settings: For the limits.
    """

    def __init__(self, unpacked: _Readable, packed: IO[bytes], settings: Settings) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._settings = settings
        self._position = 0
        self._allowed = 0

    def allow_until(self, position: int) -> None:
        """Allow reading up to this position of the unpacked stream, in bytes."""
        self._allowed = position

    def read(self, size: int) -> bytes:
        data = self._unpacked.read(size)
        self._position += len(data)
        if self._position > self._settings.max_archive_bytes:
            limit = f"{self._settings.max_archive_bytes:,}"
            raise DropRefusedError(f"The archive unpacks to more than {limit} bytes.")
        ratio = self._settings.max_archive_ratio
        if self._position > max(_SMALLEST_BOMB_BYTES, ratio * (self._packed.tell() + 1)):
            raise DropRefusedError(
                f"The archive unpacks to more than {ratio:g} times its size, which is typical of "
                "a decompression bomb."
            )
        if self._position > self._allowed + _CHUNK_BYTES:
            raise DropRefusedError("The archive contains a header that is far too long.")
        return data


_Decompressor = bz2.BZ2Decompressor | lzma.LZMADecompressor


class _DecompressedStream:
    """A file of one or more bz2 or xz streams, unpacked only as far as it is read."""

    def __init__(self, packed: IO[bytes], start: Callable[[], _Decompressor]) -> None:
        self._packed = packed
        self._start = start
        self._decompressor = start()

    def read(self, size: int) -> bytes:
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._decompressor.unused_data or self._packed.read(_CHUNK_BYTES)
                if not data.strip(b"\0"):
                    return b""
                self._decompressor = self._start()
            elif self._decompressor.needs_input:
                data = self._packed.read(_CHUNK_BYTES)
                if not data:
                    raise DropRefusedError("The archive is truncated.")
            try:
                unpacked = self._decompressor.decompress(data, size)
            except (OSError, lzma.LZMAError, MemoryError) as error:
                raise DropRefusedError(f"The archive is damaged: {error}.") from error
            if unpacked:
                return unpacked


def _decompress(packed: IO[bytes]) -> _Readable:
    """Return the decompressed stream; the compression is detected by the file's signature."""
    signature = packed.read(6)
    packed.seek(0)
    if signature.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed)
    if signature.startswith(b"BZh"):
        return _DecompressedStream(packed, bz2.BZ2Decompressor)
    if signature.startswith(b"\xfd7zXZ\0"):
        return _DecompressedStream(packed, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES))
    return packed


@contextmanager
def _errors_as_refusals() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        reason = str(error).rstrip(".")
        raise DropRefusedError(f"It is not a readable tar archive: {reason}.") from error
