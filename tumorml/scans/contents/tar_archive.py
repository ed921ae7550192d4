"""Read a tar, packed or not, that nobody vouches for: as a stream, with every byte counted."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Protocol

from tumorml.scans.contents.open_contents import NOT_TEXT, TOO_LARGE, DropRefusedError, Entry
from tumorml.scans.contents.zip_archive import OUTSIDE
from tumorml.scans.inbox.names import is_text, leads_outside, printable, unique
from tumorml.settings import Settings

_CHUNK_BYTES = 64 * 1024
_HEADER_BYTES = 4 * 1024**2
"""Most bytes between two members: long names and attributes, which ``tarfile`` keeps in memory."""
_SMALLEST_BOMB_BYTES = 64 * 1024**2
_UNPACKER_BYTES = 256 * 1024**2
"""Memory that an xz may ask for to be unpacked."""


class TarContents:
    """The members of a tar, in their order. The archive is read once to list it and once for data.

    Both raise ``DropRefusedError`` where it is damaged or unpacks to more than is allowed, listing
    also where it has more members.
    """

    def __init__(self, stream: IO[bytes], settings: Settings) -> None:
        self._stream = stream
        self._settings = settings

    @cached_property
    def entries(self) -> list[Entry]:
        """Every member but folders; for this the archive is read once."""
        entries: list[Entry] = []
        with self._members() as members:
            for entry, _, _ in members:
                entries.append(entry)
                if len(entries) > self._settings.max_archive_files:
                    most = f"{self._settings.max_archive_files:,}"
                    raise DropRefusedError(f"The archive holds more than {most} files.")
        return entries

    def read(self, wanted: Container[str]) -> Iterator[tuple[Entry, bytes | None, str | None]]:
        """The wanted entries with their bytes; see ``Contents``."""
        with self._members() as members:
            for entry, archive, member in members:
                if entry.refusal is None and entry.path in wanted:
                    with _as_refusal():
                        unpacked = archive.extractfile(member)
                        data = unpacked.read() if unpacked else b""
                    yield entry, data, None

    @contextmanager
    def _members(
        self,
    ) -> Iterator[Iterator[tuple[Entry, tarfile.TarFile, tarfile.TarInfo]]]:
        self._stream.seek(0)
        counted = _Counted(_unpacked(self._stream), self._stream, self._settings)
        with _as_refusal():
            archive = tarfile.open(  # noqa: SIM115 - closed below
                fileobj=counted,  # type: ignore[call-overload]
                mode="r|",
                bufsize=_CHUNK_BYTES,
                encoding="utf-8",
                errors="surrogateescape",
            )
        try:
            yield self._walk(archive, counted)
        finally:
            archive.close()

    def _walk(
        self, archive: tarfile.TarFile, counted: _Counted
    ) -> Iterator[tuple[Entry, tarfile.TarFile, tarfile.TarInfo]]:
        taken: set[str] = set()
        while True:
            counted.allow_until(archive.offset + _HEADER_BYTES)
            with _as_refusal():
                member = archive.next()
            if member is None:
                return
            counted.allow_until(archive.offset + _HEADER_BYTES)
            archive.members.clear()  # type: ignore[attr-defined]
            if not member.isdir():
                path = unique(printable(member.name), taken)
                yield Entry(path, member.size, self._refusal(member)), archive, member

    def _refusal(self, member: tarfile.TarInfo) -> str | None:
        if not is_text(member.name):
            return NOT_TEXT
        if leads_outside(member.name):
            return OUTSIDE
        if member.issym() or member.islnk():
            return "It is a link, not a file: pack the file itself."
        if not member.isreg():
            return "It is a device or a pipe, not a file."
        if member.issparse():
            return "It is packed as a sparse file: pack it without --sparse."
        if member.size > self._settings.max_file_bytes:
            return TOO_LARGE.format(limit=self._settings.max_file_bytes)
        return None


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Counted:
    """Counts what is unpacked, and stops an archive that unpacks to too much."""

    def __init__(self, unpacked: _Readable, packed: IO[bytes], settings: Settings) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._settings = settings
        self._position = 0
        self._allowed = 0

    def allow_until(self, position: int) -> None:
        """Bytes up to this position belong to members whose size is known; no more may come."""
        self._allowed = position

    def read(self, size: int) -> bytes:
        data = self._unpacked.read(size)
        self._position += len(data)
        if self._position > self._settings.max_archive_bytes:
            most = f"{self._settings.max_archive_bytes:,}"
            raise DropRefusedError(f"The archive unpacks to more than {most} bytes.")
        ratio = self._settings.max_archive_ratio
        if self._position > max(_SMALLEST_BOMB_BYTES, ratio * (self._packed.tell() + 1)):
            raise DropRefusedError(
                f"The archive unpacks to more than {ratio:g} times its size, as only archives "
                "made to do harm do."
            )
        if self._position > self._allowed + _CHUNK_BYTES:
            raise DropRefusedError("The archive holds a header that is far too long.")
        return data


_Unpacker = bz2.BZ2Decompressor | lzma.LZMADecompressor


class _Unpacked:
    """A stream of one or more bz2 or xz streams, unpacked no further than is asked for."""

    def __init__(self, packed: IO[bytes], start: Callable[[], _Unpacker]) -> None:
        self._packed = packed
        self._start = start
        self._unpacker = start()

    def read(self, size: int) -> bytes:
        while True:
            data = b""
            if self._unpacker.eof:
                data = self._unpacker.unused_data or self._packed.read(_CHUNK_BYTES)
                if not data.strip(b"\0"):
                    return b""
                self._unpacker = self._start()
            elif self._unpacker.needs_input:
                data = self._packed.read(_CHUNK_BYTES)
                if not data:
                    raise DropRefusedError("The archive is cut short.")
            try:
                unpacked = self._unpacker.decompress(data, size)
            except (OSError, lzma.LZMAError, MemoryError) as error:
                raise DropRefusedError(f"The archive is damaged: {error}.") from error
            if unpacked:
                return unpacked


def _unpacked(packed: IO[bytes]) -> _Readable:
    magic = packed.read(6)
    packed.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed)
    if magic.startswith(b"BZh"):
        return _Unpacked(packed, bz2.BZ2Decompressor)
    if magic.startswith(b"\xfd7zXZ\0"):
        return _Unpacked(packed, lambda: lzma.LZMADecompressor(memlimit=_UNPACKER_BYTES))
    return packed


@contextmanager
def _as_refusal() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        reason = str(error).rstrip(".")
        raise DropRefusedError(f"It is not a tar archive that can be read: {reason}.") from error
