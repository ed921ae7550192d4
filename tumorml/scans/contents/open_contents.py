"""Open a claimed drop, whether it is a folder or an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tumorml.errors import DropRefusedError
from tumorml.objects import ObjectStore
from tumorml.scans.contents.entry import CHANGED, Contents
from tumorml.scans.contents.folder import FolderContents, changed_files
from tumorml.scans.contents.tar_archive import TarContents
from tumorml.scans.contents.zip_archive import ZipContents
from tumorml.scans.inbox.claim import Claim
from tumorml.scans.inbox.names import archive_suffix
from tumorml.settings import Settings


@contextmanager
def open_contents(store: ObjectStore, claim: Claim, settings: Settings) -> Iterator[Contents]:
    """Open the contents of a claimed drop.

    Raises:
        DropRefusedError: The drop is empty, or its archive was changed since the claim, is damaged
            or exceeds a limit.
    """
    if not claim.files:
        raise DropRefusedError("The drop is empty: it contains no file.")
    if not is_archive(claim):
        yield FolderContents(store, claim, settings)
        return
    if changed_files(store, claim):
        raise DropRefusedError(CHANGED)
    with store.open(claim.drop_key) as stream:
        yield TarContents(stream, settings) if is_tar(claim) else ZipContents(stream, settings)


def is_archive(claim: Claim) -> bool:
    """Return whether the drop is a single zip or tar."""
    return (
        len(claim.files) == 1
        and claim.files[0].key == claim.drop_key
        and claim.files[0].regular
        and archive_suffix(claim.drop_key) is not None
    )


def is_tar(claim: Claim) -> bool:
    """Return whether the drop is a tar, which can only be read sequentially."""
    return is_archive(claim) and archive_suffix(claim.drop_key) != ".zip"
