"""Write files so that a crash leaves either the old content or the new."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TEMPORARY_NAME = re.compile(r"\..*\.[0-9a-f]{32}\.part", re.DOTALL)
_LONGEST_NAME_PART = 100
"""Characters of the target's name that a temporary name repeats; file systems allow 255 bytes."""


def write_atomically(
    path: Path, content: bytes | Callable[[BinaryIO], None], *, mode: int | None = None
) -> None:
    """Replace a file's content in one step, and force it to disk.

    The content goes to a temporary file in the same folder, which is made if it does not exist.
    After an ``fsync`` the temporary file takes the target's name; then the folder is forced to
    disk, too.

    Args:
        path: The target.
        content: The bytes, or a function that writes them to an open file.
        mode: The permission bits of the file; none: those that the umask leaves of 0666.
    """
    temporary = temporary_beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(temporary, flags, 0o666 if mode is None else mode), "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """Return an unused name for a temporary file in the target's folder, which is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name[:_LONGEST_NAME_PART]}.{uuid.uuid4().hex}.part")


def is_temporary(name: str) -> bool:
    """Return whether `temporary_beside` made this file name."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
