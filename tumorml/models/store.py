"""Model versions in the object store: put once, fetched with their checksum verified."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tumorml.errors import TumorMLError
from tumorml.objects import object_store
from tumorml.results.session import reading
from tumorml.results.tables import ModelVersion
from tumorml.settings import Settings

if TYPE_CHECKING:
    from tumorml.models.predictor import Predictor

MODEL_FILES = ("model.keras", "model.json")


def put_model(settings: Settings, folder: Path) -> tuple[str, str, int]:
    """Put a saved model into the object store under ``models/<id>/``.

    Args:
        settings: Where.
        folder: What ``save_model`` wrote.

    Returns:
        The model version's id (``m-`` and 12 hex digits of the SHA-256), the SHA-256 of
        ``model.keras`` in hex, and its size in bytes.
    """
    sha256 = sha256_of(folder / "model.keras")
    model_id = f"m-{sha256[:12]}"
    store = object_store(settings)
    for name in MODEL_FILES:
        store.write_file(f"models/{model_id}/{name}", folder / name)
    return model_id, sha256, (folder / "model.keras").stat().st_size


def fetch_predictor(settings: Settings, model_version_id: str) -> Predictor:
    """The predictor of a model version, from the object store by way of a local cache.

    Raises:
        TumorMLError: There is no such model version, or its file is not the one that was put.
    """
    from tumorml.models.artifact import load_predictor

    with reading(settings) as session:
        version = session.get(ModelVersion, model_version_id)
    if version is None:
        raise TumorMLError(f"There is no model version {model_version_id!r}.")
    folder = settings.home / "cache" / "models" / model_version_id
    if not folder.exists():
        store = object_store(settings)
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in MODEL_FILES:
            try:
                (partial / name).write_bytes(store.read(f"{version.object_key}/{name}"))
            except FileNotFoundError as error:
                raise TumorMLError(
                    f"The model version {model_version_id} is not whole: "
                    f"{store.display(version.object_key)}/{name} is missing."
                ) from error
        try:
            partial.replace(folder)
        except OSError:  # another process was first
            shutil.rmtree(partial, ignore_errors=True)
    if sha256_of(folder / "model.keras") != version.sha256:
        shutil.rmtree(folder)
        raise TumorMLError(
            f"The file of model version {model_version_id} has been changed: its SHA-256 is not "
            f"the recorded {version.sha256}."
        )
    return load_predictor(folder)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
