"""A model version on disk: the network, and a description that says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tumorml.datasets.resize import PREPROCESSING
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.models.calibration import Calibration
from tumorml.models.files import (
    DESCRIPTION_FILE,
    LITE_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    sha256_of,
)
from tumorml.models.predictor import Predictor
from tumorml.models.reference import Reference
from tumorml.models.served import KerasServed, LiteServed, Served
from tumorml.recipes.recipe import Recipe

if TYPE_CHECKING:
    import keras

_PACKAGES = ("tumorml", "tensorflow", "keras", "numpy")


class ModelDescription(BaseModel):
    """What ``model.json`` holds.

    Attributes:
        task: what the model decides.
        labels: in class order.
        input_size: side of the square input, in pixels.
        recipe_name: of the recipe that trained it.
        recipe_digest: SHA-256 of the recipe's fields.
        recipe_text: the recipe, as TOML.
        sha256: of ``model.keras``.
        parameters: weights of the network, trainable or not.
        versions: of the packages that trained it.
        preprocessing: the name of what turns a scan into the network's input.
        temperature: what logits are divided by; fitted on validation.
        operating_point: of a binary model, the least probability of ``tumor`` that is called one.
        test_time_flip: whether it answers with the mean logits of a scan and of its mirror image.
        golden: by scan id, the probabilities that the model gave when it was trained.
        files: what else belongs to the model version, with the SHA-256 of each.
        saved_at: when, in UTC.
        details: whatever the run adds, such as its id, its snapshot and its seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task
    labels: tuple[str, ...]
    input_size: int
    recipe_name: str
    recipe_digest: str
    recipe_text: str
    sha256: str
    parameters: int
    versions: dict[str, str]
    preprocessing: str = "fit-to-square, bilinear"
    temperature: float = 1.0
    operating_point: float | None = None
    test_time_flip: bool = False
    golden: dict[str, list[float]] = {}
    files: dict[str, str] = {}
    saved_at: datetime
    details: dict[str, Any]

    @property
    def calibration(self) -> Calibration:
        """What turns its logits into probabilities and decisions."""
        return Calibration(self.temperature, self.operating_point)


def save_model(
    model: keras.Model,
    folder: Path,
    *,
    task: Task,
    recipe: Recipe,
    calibration: Calibration | None = None,
    golden: dict[str, list[float]] | None = None,
    files: Sequence[str] = (),
    details: dict[str, Any] | None = None,
) -> ModelDescription:
    """Write ``model.keras`` and, last, ``model.json`` into a folder, which is made when missing.

    Args:
        model: a network of the recipe, as `fit` returns it.
        folder: of this model version alone.
        task: what the model decides.
        recipe: what trained it.
        calibration: what was fitted on validation; None: probabilities as they are.
        golden: by scan id, probabilities that every later load of the model must repeat.
        files: names of what else lies in the folder and belongs to the model version.
        details: JSON values that the run wants to keep with the model.

    Returns:
        What ``model.json`` holds.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"part-{MODEL_FILE}"
    model.save(part)
    part.replace(folder / MODEL_FILE)
    calibration = calibration or Calibration()
    description = ModelDescription(
        task=task,
        labels=LABELS[task],
        input_size=int(model.input_shape[1]),
        recipe_name=recipe.name,
        recipe_digest=recipe.digest,
        recipe_text=recipe.text,
        sha256=sha256_of(folder / MODEL_FILE),
        parameters=model.count_params(),
        versions={package: version(package) for package in _PACKAGES},
        preprocessing=PREPROCESSING,
        temperature=calibration.temperature,
        operating_point=calibration.operating_point,
        test_time_flip=recipe.test_time_flip,
        golden=golden or {},
        files={name: sha256_of(folder / name) for name in files},
        saved_at=datetime.now(UTC),
        details=details or {},
    )
    part = folder / f"part-{DESCRIPTION_FILE}"
    part.write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
    part.replace(folder / DESCRIPTION_FILE)
    return description


def read_description(folder: Path) -> ModelDescription:
    """The description of a saved model; TensorFlow is not needed for it.

    Raises:
        TumorMLError: there is none, or it is not valid.
    """
    path = Path(folder) / DESCRIPTION_FILE
    try:
        return ModelDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TumorMLError(f"There is no model in {folder}: {error}.") from error
    except ValidationError as error:
        raise TumorMLError(f"{path} does not describe a model: {error}") from error


def load_predictor(folder: Path) -> Predictor:
    """The predictor of a saved model, its bytes checked against its description.

    Raises:
        TumorMLError: the model is missing, has changed since it was saved, cannot be loaded, or
            was trained for other labels than its task has today.
    """
    description = _usable(folder)
    path = _unchanged(folder, MODEL_FILE, description.sha256)
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TumorMLError(f"{path} cannot be loaded: {error}") from error
    return Predictor(
        model,
        description.task,
        description.calibration,
        test_time_flip=description.test_time_flip,
    )


def load_served(folder: Path) -> tuple[Served, Reference | None]:
    """A saved model as servers ask it: without TensorFlow, where it was left for that.

    Raises:
        TumorMLError: as `load_predictor`; or it needs TensorFlow, which is not installed here.
    """
    description = _usable(folder)
    files = {name: _unchanged(folder, name, sha) for name, sha in description.files.items()}
    reference = Reference.load(files[REFERENCE_FILE]) if REFERENCE_FILE in files else None
    if LITE_FILE in files:
        calibration = description.calibration
        return LiteServed(files[LITE_FILE], description.task, calibration), reference
    try:
        return KerasServed(load_predictor(folder)), reference
    except ImportError as error:
        raise TumorMLError(
            f"The model in {folder} was not exported for LiteRT, and TensorFlow is not installed "
            "here: pip install tumorml[training], or train it anew."
        ) from error


def _usable(folder: Path) -> ModelDescription:
    """What describes a model that answers as its task asks today."""
    description = read_description(folder)
    if description.labels != LABELS[description.task]:
        raise TumorMLError(
            f"The model in {folder} knows the labels {', '.join(description.labels)}, but "
            f"{description.task} now has {', '.join(LABELS[description.task])}. Train it anew."
        )
    if description.preprocessing != PREPROCESSING:
        raise TumorMLError(
            f"The model in {folder} learnt from scans prepared by {description.preprocessing!r}, "
            f"but they are now prepared by {PREPROCESSING!r}. Train it anew."
        )
    return description


def _unchanged(folder: Path, name: str, sha256: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise TumorMLError(f"There is no {name} in {folder}, only its description.")
    if sha256_of(path) != sha256:
        raise TumorMLError(
            f"{path} is not the one that {DESCRIPTION_FILE} describes: its SHA-256 differs. "
            "Fetch the model version again from the object store."
        )
    return path
