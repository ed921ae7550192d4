"""Read an untrusted zip without trusting its headers or unpacking to disk."""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Container, Iterator
from typing import IO

from tumorml.errors import DropRefusedError
from tumorml.scans.contents.entry import NOT_TEXT, OUTSIDE, TOO_LARGE, Entry, ReadEntry
from tumorml.scans.inbox.names import is_text, leads_outside, printable, unique
from tumorml.settings import Settings

_CHUNK_BYTES = 1024**2
_SMALLEST_BOMB_BYTES = 1024**2
"""The compression ratio of a member is checked from this unpacked size on."""
_DIRECTORY_ENTRY_BYTES = 300
"""Allowance for one member in the central directory."""
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipContents:
    """The members of a zip, in the order of their offsets in the file.

    Raises:
        DropRefusedError: The zip is damaged, has too many members, or unpacks to too many bytes.
    """

    def __init__(self, stream: IO[bytes], settings: Settings) -> None:
        self._settings = settings
        limit = settings.max_archive_files
        if _directory_bytes(stream) > max(limit * _DIRECTORY_ENTRY_BYTES, _CHUNK_BYTES):
            raise DropRefusedError(f"The archive lists more than {limit:,} files.")
        try:
            self._archive = zipfile.ZipFile(stream)
        # The exceptions that zipfile raises for a damaged or malicious central directory.
        except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
            # zipfile also reports failed reads as a bad archive. EINVAL comes from its own seeks to
            # negative offsets; every other OSError comes from the object store.
            cause = error.__context__
            if isinstance(cause, OSError) and cause.errno != errno.EINVAL:
                raise cause from None
            raise DropRefusedError(f"It is not a readable zip archive: {error}.") from error
        members = [member for member in self._archive.infolist() if not member.is_dir()]
        if len(members) > limit:
            raise DropRefusedError(f"The archive contains more than {limit:,} files.")
        if sum(member.file_size for member in members) > settings.max_archive_bytes:
            raise DropRefusedError(_unpacks_to_too_much(settings))
        self.entries: list[Entry] = []
        self._members: dict[str, zipfile.ZipInfo] = {}
        taken: set[str] = set()
        for member in sorted(members, key=lambda member: member.header_offset):
            name = _name(member)
            path = unique(printable(name), taken)
            refusal = self._refusal(member, name)
            self.entries.append(Entry(path, member.file_size, refusal))
            self._members[path] = member

    def read(self, paths: Container[str]) -> Iterator[ReadEntry]:
        """Read the entries with these paths; see `Contents.read`."""
        budget = self._settings.max_archive_bytes
        for entry in self.entries:
            if entry.refusal or entry.path not in paths:
                continue
            data, refusal = self._unpack(self._members[entry.path])
            budget -= len(data)
            if budget < 0:
                raise DropRefusedError(_unpacks_to_too_much(self._settings))
            yield ReadEntry(entry, None if refusal else bytes(data), refusal)

    def _refusal(self, member: zipfile.ZipInfo, name: str) -> str | None:
        if not is_text(name):
            return NOT_TEXT
        if leads_outside(name):
            return OUTSIDE
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            return "It is a link or a device, not a file."
        if member.flag_bits & _ENCRYPTED_FLAG:
            return "It is encrypted: pack it without a password."
        if member.compress_type not in _READ_METHODS:
            return "Its compression method is not supported: use ordinary zip (deflate)."
        if member.file_size > self._settings.max_file_bytes:
            return TOO_LARGE.format(limit=self._settings.max_file_bytes)
        return None

    def _unpack(self, member: zipfile.ZipInfo) -> tuple[bytearray, str | None]:
        limit, ratio = self._settings.max_file_bytes, self._settings.max_archive_ratio
        ratio_limit = max(member.compress_size * ratio, _SMALLEST_BOMB_BYTES)
        data = bytearray()
        try:
            with self._archive.open(member) as unpacked:
                while chunk := unpacked.read(_CHUNK_BYTES):
                    data += chunk
                    if len(data) > ratio_limit:
                        return data, (
                            f"It unpacks to more than {ratio:g} times its packed size, which is "
                            "typical of a decompression bomb."
                        )
                    if len(data) > limit:
                        return data, TOO_LARGE.format(limit=limit)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error) as error:
            return data, f"It is damaged in the archive: {error}."
        return data, None


def _name(member: zipfile.ZipInfo) -> str:
    """Return the member's name; without the UTF-8 flag, its bytes are still read as UTF-8."""
    if member.flag_bits & _UTF8_FLAG:
        return member.orig_filename
    return member.orig_filename.encode("cp437").decode("utf-8", "surrogateescape")


def _unpacks_to_too_much(settings: Settings) -> str:
    return f"The archive unpacks to more than {settings.max_archive_bytes:,} bytes."


def _directory_bytes(stream: IO[bytes]) -> int:
    """Return the size in bytes of the central directory, from the end record.

    ``zipfile`` reads the whole directory into memory, so its size is limited first. Zero if there
    is no end record; ``zipfile`` then raises an error.
    """
    size = stream.seek(0, 2)
    tail_bytes = min(size, 65_536 + 22 + 20 + 56)
    stream.seek(size - tail_bytes)
    tail = stream.read(tail_bytes)
    stream.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        return 0
    (directory_bytes,) = struct.unpack_from("<L", tail, end + 12)
    zip64_end = tail.rfind(b"PK\x06\x06", 0, end)
    if zip64_end >= 0 and len(tail) >= zip64_end + 56:
        directory_bytes = struct.unpack_from("<Q", tail, zip64_end + 40)[0]
    return int(directory_bytes)
