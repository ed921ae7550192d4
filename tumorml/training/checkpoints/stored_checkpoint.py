"""A training's checkpoint in the object store, so that another machine can go on with the run.

One object for each finished epoch, ``runs/<id>/checkpoint/<epoch>.zip``, holds what the training's
own folder holds then: so it is there whole or not at all, and a worker that was cut off and comes
back late can put an old epoch there, never over a newer one.
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
        folder: The training's own, on this machine.
    """

    def __init__(self, store: ObjectStore, run_id: str, folder: Path) -> None:
        self._store = store
        self._run_id = run_id
        self._prefix = checkpoints_key(run_id)
        self._folder = folder

    def take(self) -> None:
        """Bring the newest checkpoint here, unless the folder has a newer one.

        Of two that are as new, that of the store is the one that the run's epochs tell of.

        Raises:
            TumorMLError: It cannot be read.
        """
        newest = max(self._epochs(), default=0)
        if newest == 0 or newest < len(finished_epochs(self._folder)):
            return
        key = self._key(newest)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._store.open(key) as stream, zipfile.ZipFile(stream) as archive:
                # The checkpoint comes last: until it is there, what lies here is the old one.
                for name in archive.namelist():
                    if PurePosixPath(name).name != name:
                        raise zipfile.BadZipFile(f"it names {name!r}")
                    write_atomically(self._folder / name, archive.read(name))
        except zipfile.BadZipFile as error:
            raise TumorMLError(
                f"The checkpoint {self._store.display(key)} cannot be read ({error}): remove it to "
                "go on at an earlier epoch, or anew."
            ) from error
        logger.info("epoch %s was trained elsewhere; its checkpoint is brought here", newest)

    def put(self, epoch: int) -> None:
        """Put the folder's checkpoint there as that of an epoch, and remove those before it."""
        part = self._folder / _PART
        with zipfile.ZipFile(part, "w") as archive:  # weights do not get smaller by packing
            for path in checkpoint_files(self._folder):
                archive.write(path, path.name)
        self._store.write_file(self._key(epoch), part)
        part.unlink()
        for earlier in [each for each in self._epochs() if each < epoch]:
            self._store.remove(self._key(earlier))

    def remove(self) -> None:
        """Remove all of them: the run has left its model version."""
        for epoch in list(self._epochs()):
            self._store.remove(self._key(epoch))
        self._store.remove_empty_folders(self._prefix)

    def _epochs(self) -> Iterator[int]:
        for stored in self._store.list(self._prefix):
            if found := _NAME.fullmatch(stored.key.removeprefix(f"{self._prefix}/")):
                yield int(found[1])

    def _key(self, epoch: int) -> str:
        return checkpoint_key(self._run_id, epoch)
