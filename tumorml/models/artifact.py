"""A model version on disk: the network, and a description that says what it is."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tumorml.datasets.resize import PREPROCESSING
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.models.calibration import Calibration
from tumorml.models.files import DESCRIPTION_FILE, MODEL_FILE, sha256_of
from tumorml.models.predictor import Predictor
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
    saved_at: datetime
    details: dict[str, Any]


def save_model(
    model: keras.Model,
    folder: Path,
    *,
    task: Task,
    recipe: Recipe,
    calibration: Calibration | None = None,
    golden: dict[str, list[float]] | None = None,
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
    description = read_description(folder)
    path = Path(folder) / MODEL_FILE
    if not path.is_file():
        raise TumorMLError(f"There is no {MODEL_FILE} in {folder}, only its description.")
    if sha256_of(path) != description.sha256:
        raise TumorMLError(
            f"{path} is not the model that {DESCRIPTION_FILE} describes: its SHA-256 differs. "
            "Fetch the model version again from the object store."
        )
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
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TumorMLError(f"{path} cannot be loaded: {error}") from error
    return Predictor(
        model,
        description.task,
        Calibration(description.temperature, description.operating_point),
        test_time_flip=description.test_time_flip,
    )
