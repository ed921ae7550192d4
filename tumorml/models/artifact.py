"""A model version on disk: the network, its description and additional files."""

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
    """The content of ``model.json``.

    Attributes:
        task: Task of the model.
        labels: Labels in class order.
        input_size: Side of the square input, in pixels.
        recipe_name: Name of the recipe.
        recipe_digest: SHA-256 of the recipe's fields.
        recipe_text: The recipe, as TOML.
        sha256: SHA-256 of ``model.keras``.
        parameters: Number of weights of the network, trainable or not.
        versions: Versions of the packages that trained the model.
        preprocessing: Name of the preprocessing from a scan to the network's input.
        temperature: Divisor of the logits, fitted on validation scans.
        operating_point: Minimum probability of ``tumor`` at which a binary model predicts tumor.
        test_time_flip: Whether predictions use the mean logits of a scan and its mirror image.
        golden: Probabilities of some validation scans at training time, by scan id.
        files: SHA-256 of each additional file of the model version, by name.
        saved_at: Time of saving, in UTC.
        details: Other values of the run, such as its id, snapshot and seed.
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
        """The calibration of the model."""
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
    """Write ``model.keras`` and then ``model.json`` into a folder.

    Args:
        model: A network of the recipe, as `fit` returns it.
        folder: A folder for this model version only; created if missing.
        task: Task of the model.
        recipe: The recipe that trained it.
        calibration: Calibration on validation scans; None for a temperature of 1.
        golden: Probabilities by scan id that every loaded copy of the model must reproduce.
        files: Names of additional files in the folder that belong to the model version.
        details: JSON values of the run to store with the model.

    Returns:
        The content of ``model.json``.
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
    """Read the description of a saved model. Needs no TensorFlow.

    Raises:
        TumorMLError: The description is missing or not valid.
    """
    path = Path(folder) / DESCRIPTION_FILE
    try:
        return ModelDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TumorMLError(f"There is no model in {folder}: {error}.") from error
    except ValidationError as error:
        raise TumorMLError(f"{path} is not a valid model description: {error}") from error


def load_predictor(folder: Path) -> Predictor:
    """Load a saved model for prediction with TensorFlow.

    Raises:
        TumorMLError: The model is missing, has changed since it was saved, cannot be loaded, or
            was trained with labels or a preprocessing that are not the current ones.
    """
    description = _read_current_description(folder)
    path = _verified_file(folder, MODEL_FILE, description.sha256)
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
    """Load a saved model for serving, without TensorFlow if it was exported for LiteRT.

    Returns:
        The model, and its reference if it has one.

    Raises:
        TumorMLError: As `load_predictor`; or the model needs TensorFlow, which is not installed.
    """
    description = _read_current_description(folder)
    files = {name: _verified_file(folder, name, sha) for name, sha in description.files.items()}
    reference = Reference.load(files[REFERENCE_FILE]) if REFERENCE_FILE in files else None
    if LITE_FILE in files:
        calibration = description.calibration
        return LiteServed(files[LITE_FILE], description.task, calibration), reference
    try:
        return KerasServed(load_predictor(folder)), reference
    except ImportError as error:
        raise TumorMLError(
            f"The model in {folder} was not exported for LiteRT, and TensorFlow is not installed: "
            "run pip install tumorml[training], or train a new model."
        ) from error


def _read_current_description(folder: Path) -> ModelDescription:
    """Read the description, and check that its labels and preprocessing are the current ones."""
    description = read_description(folder)
    if description.labels != LABELS[description.task]:
        raise TumorMLError(
            f"The model in {folder} has the labels {', '.join(description.labels)}, but "
            f"{description.task} now has {', '.join(LABELS[description.task])}. Train a new model."
        )
    if description.preprocessing != PREPROCESSING:
        raise TumorMLError(
            f"The model in {folder} was trained with the preprocessing "
            f"{description.preprocessing!r}, but the current one is {PREPROCESSING!r}. Train a new "
            "model."
        )
    return description


def _verified_file(folder: Path, name: str, sha256: str) -> Path:
    """Return the path of a file after a check of its SHA-256."""
    path = Path(folder) / name
    if not path.is_file():
        raise TumorMLError(f"There is no {name} in {folder}, only its description.")
    if sha256_of(path) != sha256:
        raise TumorMLError(
            f"{path} has changed: its SHA-256 differs from the one in {DESCRIPTION_FILE}. "
            "Fetch the model version again from the object store."
        )
    return path
