"""Checkpoints in the object store, so that another machine can resume a run.

Each finished epoch is one object, ``runs/<id>/checkpoint/<epoch>.zip``, with the files of the
checkpoint folder, so a checkpoint is stored completely or not at all. A worker that lost its
connection may store an old epoch late, but cannot overwrite a newer one.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tumorml.errors import TumorMLError
from tumorml.files import write_atomically
from tumorml.objects import ObjectStore
from tumorml.objects.keys import checkpoint_key, checkpoints_key
from tumorml.training.checkpoints.checkpoint import checkpoint_files, finished_epochs

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{6})\.zip")
_PART = ".zip.part"


class StoredCheckpoint:
    """The checkpoints of one run in the object store.

    Args:
        store: The object store.
        run_id: The run.
        folder: Checkpoint folder of the training on this machine.
    """

    def __init__(self, store: ObjectStore, run_id: str, folder: Path) -> None:
        self._store = store
        self._run_id = run_id
        self._prefix = checkpoints_key(run_id)
        self._folder = folder

    def download(self) -> None:
        """Download the newest checkpoint, unless the folder has a newer one.

        If both have the same epoch, the stored checkpoint is used, because the rows of the table
        `epoch` belong to it.

        Raises:
            TumorMLError: The checkpoint cannot be read.
        """
        newest = max(self._epochs(), default=0)
        if newest == 0 or newest < len(finished_epochs(self._folder)):
            return
        key = self._key(newest)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._store.open(key) as stream, zipfile.ZipFile(stream) as archive:
                # The checkpoint file comes last, so the old checkpoint stays valid until then.
                for name in archive.namelist():
                    if PurePosixPath(name).name != name:
                        raise zipfile.BadZipFile(f"invalid member name {name!r}")
                    write_atomically(self._folder / name, archive.read(name))
        except zipfile.BadZipFile as error:
            raise TumorMLError(
                f"The checkpoint {self._store.display(key)} cannot be read ({error}): remove it to "
                "resume from an earlier epoch or restart the training."
            ) from error
        logger.info("downloaded the checkpoint of epoch %s from the object store", newest)

    def upload(self, epoch: int) -> None:
        """Upload the folder's checkpoint as that of an epoch, and remove earlier ones."""
        part = self._folder / _PART
        with zipfile.ZipFile(part, "w") as archive:  # uncompressed: weights do not compress
            for path in checkpoint_files(self._folder):
                archive.write(path, path.name)
        self._store.write_file(self._key(epoch), part)
        part.unlink()
        for earlier in [stored for stored in self._epochs() if stored < epoch]:
            self._store.remove(self._key(earlier))

    def remove(self) -> None:
        """Remove all checkpoints of the run."""
        for epoch in list(self._epochs()):
            self._store.remove(self._key(epoch))
        self._store.remove_empty_folders(self._prefix)

    def _epochs(self) -> Iterator[int]:
        for stored in self._store.list(self._prefix):
            if match := _NAME.fullmatch(stored.key.removeprefix(f"{self._prefix}/")):
                yield int(match[1])

    def _key(self, epoch: int) -> str:
        return checkpoint_key(self._run_id, epoch)
