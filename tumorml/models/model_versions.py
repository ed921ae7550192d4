"""Model versions in the object store: upload, and download with verified checksums."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tumorml.errors import TumorMLError
from tumorml.models.files import DESCRIPTION_FILE, MODEL_FILE, sha256_of
from tumorml.objects import object_store
from tumorml.objects.keys import model_file_key, model_key
from tumorml.results.session import read_session
from tumorml.results.tables import ModelVersion
from tumorml.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tumorml.models.artifact import ModelDescription
    from tumorml.models.predictor import Predictor
    from tumorml.models.reference import Reference
    from tumorml.models.served import Served


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model version in the object store.

    Attributes:
        id: ``m-`` and 12 hex digits of the SHA-256 of ``model.keras``.
        object_key: Folder ``models/<id>``.
        sha256: SHA-256 of ``model.keras``, in hex.
        description_sha256: SHA-256 of ``model.json``, in hex.
        size_bytes: Size of ``model.keras``, in bytes.
    """

    id: str
    object_key: str
    sha256: str
    description_sha256: str
    size_bytes: int


def put_model(settings: Settings, folder: Path, files: Sequence[str] = ()) -> StoredModel:
    """Upload a saved model to ``models/<id>/`` in the object store.

    Args:
        settings: The settings.
        folder: The folder that `save_model` wrote.
        files: Names of the additional files of the model version, as given to `save_model`.
    """
    sha256 = sha256_of(folder / MODEL_FILE)
    model_id = f"m-{sha256[:12]}"
    store = object_store(settings)
    for name in (*files, MODEL_FILE, DESCRIPTION_FILE):
        store.write_file(model_file_key(model_key(model_id), name), folder / name)
    return StoredModel(
        id=model_id,
        object_key=model_key(model_id),
        sha256=sha256,
        description_sha256=sha256_of(folder / DESCRIPTION_FILE),
        size_bytes=(folder / MODEL_FILE).stat().st_size,
    )


def fetch_predictor(settings: Settings, model_version_id: str) -> Predictor:
    """Load a model version for prediction with TensorFlow, through the local cache.

    Raises:
        TumorMLError: The model version does not exist, or its files are missing or changed.
    """
    from tumorml.models.artifact import load_predictor

    return load_predictor(_cached(settings, model_version_id))


def fetch_served(settings: Settings, model_version_id: str) -> tuple[Served, Reference | None]:
    """Load a model version for serving, and its reference if it has one, through the cache.

    Raises:
        TumorMLError: As `fetch_predictor`; or the model needs TensorFlow, which is not installed.
    """
    from tumorml.models.artifact import load_served

    return load_served(_cached(settings, model_version_id))


def fetch_description(settings: Settings, model_version_id: str) -> ModelDescription:
    """Read the description of a model version, through the local cache.

    Raises:
        TumorMLError: As `fetch_predictor`.
    """
    from tumorml.models.artifact import read_description

    return read_description(_cached(settings, model_version_id))


def fetch_model(settings: Settings, model_version_id: str, folder: Path) -> None:
    """Download a model version's files to a folder, without the cache, and verify them.

    Raises:
        TumorMLError: The model version does not exist, or its files are missing or changed.
    """
    version = _version(settings, model_version_id)
    folder.mkdir(parents=True, exist_ok=True)
    _download(settings, version, folder)
    _check(version, folder)


def _cached(settings: Settings, model_version_id: str) -> Path:
    version = _version(settings, model_version_id)
    folder = settings.home / "cache" / "models" / model_version_id
    if not _is_complete(version, folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{model_version_id}.", dir=folder.parent))
        try:
            _download(settings, version, partial)
            _check(version, partial)
            shutil.rmtree(folder, ignore_errors=True)
            partial.replace(folder)
        except OSError:  # another process may have downloaded it at the same time
            if not _is_complete(version, folder):
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _version(settings: Settings, model_version_id: str) -> ModelVersion:
    with read_session(settings) as session:
        version = session.get(ModelVersion, model_version_id)
    if version is None:
        raise TumorMLError(f"There is no model version {model_version_id!r}.")
    return version


def _download(settings: Settings, version: ModelVersion, folder: Path) -> None:
    for name in (DESCRIPTION_FILE, MODEL_FILE):
        _fetch(settings, version, name, folder)
    for name in _additional_files(folder):
        _fetch(settings, version, name, folder)


def _fetch(settings: Settings, version: ModelVersion, name: str, folder: Path) -> None:
    store = object_store(settings)
    try:
        (folder / name).write_bytes(store.read(model_file_key(version.object_key, name)))
    except FileNotFoundError as error:
        raise TumorMLError(
            f"The model version {version.id} is incomplete: "
            f"{store.display(version.object_key)}/{name} is missing."
        ) from error


def _is_complete(version: ModelVersion, folder: Path) -> bool:
    try:
        _check(version, folder)
    except (OSError, TumorMLError):
        return False
    return True


def _check(version: ModelVersion, folder: Path) -> None:
    checksums = {MODEL_FILE: version.sha256, DESCRIPTION_FILE: version.description_sha256}
    for name, sha256 in (checksums | _additional_files(folder)).items():
        if sha256 is not None and sha256_of(folder / name) != sha256:
            raise TumorMLError(
                f"The file {name} of model version {version.id} has been changed: its SHA-256 is "
                f"not the recorded {sha256}."
            )


def _additional_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each additional file in the description, by file name."""
    from tumorml.models.artifact import read_description

    try:
        files = read_description(folder).files
    except TumorMLError:  # _check reports a damaged description by its SHA-256
        return {}
    return {name: sha for name, sha in files.items() if Path(name).name == name}
