"""A recipe: a named way to build and train a network, kept as one TOML file.

Nothing here imports TensorFlow: a recipe can be read and checked where no network can be built.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from tumorml.errors import TumorMLError
from tumorml.recipes.networks import NETWORKS
from tumorml.recipes.pretrained import PUBLISHED

RECIPE_FOLDER = Path(__file__).resolve().parent
"""The packaged recipes: one ``<name>.toml`` each."""

ClassBalance = Literal["weights", "sampling", "none"]
ShareBelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Augmentation(_Part):
    """How training scans are varied; each scan draws anew in each epoch. Zero means: not at all."""

    share: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Of the scans that are moved and lit; the others are at most flipped. What is "
        "moved is interpolated, and so less sharp than what the network will be asked about.",
    )
    flip: bool = Field(False, description="Mirror left to right, one scan in two.")
    rotation_degrees: float = Field(0.0, ge=0.0, le=180.0, description="Turn by at most this.")
    zoom: ShareBelowOne = Field(0.0, description="Scale by a factor in 1 +- zoom.")
    shift: ShareBelowOne = Field(0.0, description="Move by at most this share of the side.")
    brightness: ShareBelowOne = Field(0.0, description="Add at most this share of 255.")
    contrast: ShareBelowOne = Field(0.0, description="Contrast factor in 1 +- contrast.")
    shear_degrees: float = Field(0.0, ge=0.0, le=60.0, description="Slant by at most this.")
    mixup: NonNegativeFloat = Field(
        0.0, description="Blend pairs of scans and their labels by a share from Beta(mixup, mixup)."
    )


class Regularization(_Part):
    """What each new kernel adds to the loss: of small networks all, of pretrained ones the head."""

    l1: NonNegativeFloat = Field(0.0, description="Times the sum of the absolute weights.")
    l2: NonNegativeFloat = Field(0.0, description="Times the sum of the squared weights.")


class Evidence(_Part):
    """A map of where the tumour is: what lies there is classified beside the whole scan."""

    units: PositiveInt = Field(96, description="Channels of the decoder that makes the map.")
    mask_weight: NonNegativeFloat = Field(
        1.0, description="Times the map's loss against the masks of those scans that have one."
    )


class Optimizer(_Part):
    """The optimiser; its learning rate is each phase's own."""

    name: Literal["adam", "adamw"] = "adam"
    weight_decay: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _only_adamw_decays(self) -> Self:
        if self.name == "adam" and self.weight_decay > 0:
            raise ValueError('weight_decay needs name = "adamw"')
        return self


class Phase(_Part):
    """Consecutive epochs that train the same layers; each phase starts a fresh optimiser."""

    name: str = Field(min_length=1)
    epochs: int = Field(ge=1, le=10_000)
    learning_rate: float = Field(gt=0.0, le=10.0)
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="Cosine: from learning_rate down to zero over the phase, by step."
    )
    warmup_epochs: NonNegativeFloat = Field(
        0.0, description="Epochs, or a part of one, over which the rate rises from zero."
    )
    trainable: Literal["head", "all"] = Field(
        "all", description="Head: only the layers behind the pooling."
    )

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs:g}, more than the phase's {self.epochs}"
            )
        return self


class ReduceOnPlateau(_Part):
    """Scale the learning rate when the validation loss stands still."""

    patience: PositiveInt = 3
    factor: float = Field(0.3, gt=0.0, lt=1.0)
    minimum_share: float = Field(
        0.01, gt=0.0, lt=1.0, description="Never below this share of the phase's learning rate."
    )


class Recipe(_Part):
    """Everything that decides how a network is built and trained, but the data and the seed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    network: str
    input_size: int = Field(ge=32, le=1024, description="Side of the square input, in pixels.")
    weights: str = Field(
        "none",
        min_length=1,
        description='"imagenet" (the published ones), "none", or a path to them or to a .keras.',
    )
    dense_units: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Of a dense layer before the logits; without it there is none.",
    )
    batch_size: int = Field(32, ge=1, le=65_536)
    dropout: ShareBelowOne = 0.0
    label_smoothing: ShareBelowOne = 0.0
    class_balance: ClassBalance = Field(
        "weights",
        description="Make classes count alike: in the loss, or by drawing their scans as often.",
    )
    evidence: Evidence | None = None
    regularization: Regularization = Regularization()
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Keras dtype policy; weights and logits are always float32."
    )
    xla: bool = Field(False, description="Compile the training step with XLA, on one GPU.")
    batch_normalization: Literal["adapt", "keep"] = Field(
        "adapt", description="Keep: pretrained statistics stay as they are while fine-tuning."
    )
    augmentation: Augmentation = Augmentation()
    test_time_flip: bool = Field(
        False, description="Answer with the mean logits of a scan and of its mirror image."
    )
    optimizer: Optimizer = Optimizer()
    kept_epoch: Literal["best", "last"] = Field(
        "best", description="Whose weights are kept: of the least validation loss, or the last."
    )
    early_stopping_patience: PositiveInt | None = Field(
        None, description="Epochs without a better validation loss that end the last phase."
    )
    reduce_on_plateau: ReduceOnPlateau | None = None
    phases: tuple[Phase, ...] = Field(min_length=1, strict=False)
    warm_start: bool = Field(
        False, description="Start from the champion's weights where it is of the same network."
    )
    warm_phases: tuple[Phase, ...] = Field(
        (), strict=False, description="In place of `phases` where it did; none: the same."
    )

    _text: str | None = PrivateAttr(None)

    @field_validator("network")
    @classmethod
    def _known_network(cls, network: str) -> str:
        if network not in NETWORKS:
            raise ValueError(f"there is no network {network!r}; known are {', '.join(NETWORKS)}")
        return network

    @model_validator(mode="after")
    def _published_weights_exist(self) -> Self:
        if self.weights == "imagenet" and self.network not in PUBLISHED:
            raise ValueError(
                f"{self.network} has no ImageNet weights; they exist for {', '.join(PUBLISHED)}. "
                'Give weights = "none", or the path of a .keras file'
            )
        of_file = self.weights not in ("imagenet", "none")
        if of_file and self.network not in PUBLISHED and not self.weights.endswith(".keras"):
            raise ValueError(
                f"{self.network} has no published weights, so weights is the path of a .keras file "
                f'that it was saved to, or "none", not {self.weights!r}'
            )
        return self

    @model_validator(mode="after")
    def _statistics_to_keep_exist(self) -> Self:
        if self.batch_normalization == "keep" and self.weights == "none":
            raise ValueError(
                'batch_normalization = "keep" keeps pretrained statistics, and weights = "none" '
                'has none: give "adapt"'
            )
        return self

    @model_validator(mode="after")
    def _evidence_has_a_place(self) -> Self:
        if self.evidence is None:
            return self
        if self.network not in PUBLISHED:
            raise ValueError(
                f"{self.network} has no evidence map; these have: {', '.join(PUBLISHED)}"
            )
        if self.input_size % 32:
            raise ValueError(f"evidence needs an input_size that 32 divides, not {self.input_size}")
        return self

    @model_validator(mode="after")
    def _early_stopping_keeps_the_best(self) -> Self:
        if self.kept_epoch == "last" and self.early_stopping_patience is not None:
            raise ValueError(
                "early_stopping_patience ends a training behind its best epoch; "
                'kept_epoch = "last" would keep a worse one'
            )
        return self

    @model_validator(mode="after")
    def _warm_phases_are_reached(self) -> Self:
        if self.warm_phases and not self.warm_start:
            raise ValueError("warm_phases need warm_start = true")
        return self

    @property
    def shape(self) -> tuple[object, ...]:
        """What two recipes have in common whose weights fit each other, for one task."""
        decoder = self.evidence.units if self.evidence else None
        return (self.network, self.input_size, self.dense_units, decoder)

    def warmed(self) -> Recipe:
        """This recipe as it goes on from a champion's weights."""
        return self.varied(phases=self.warm_phases or self.phases)

    def varied(self, **changes: object) -> Recipe:
        """This recipe with other values; its `text` is rendered anew."""
        changed = self.model_copy(update=changes)
        changed._text = None
        return changed

    @property
    def epochs(self) -> int:
        """Epochs over all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def text(self) -> str:
        """The TOML that this recipe was read from, verbatim; rendered where it was not read."""
        return self._text if self._text is not None else _render_toml(self)

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the canonical JSON of the fields.

        Comments and order do not count, nor what is left at its default: a key that a later version
        adds changes no digest, as long as no published default changes.
        """
        fields = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def with_epochs(self, total: int) -> Recipe:
        """This recipe trained for `total` epochs, spread over its phases in their proportions.

        The last phase keeps at least one epoch; of the others the first get theirs first, and one
        that is left with none is dropped. No phase warms up for more than half of what it now
        lasts. The result's `text` is rendered anew.

        Raises:
            TumorMLError: `total` is below one.
        """
        if total < 1:
            raise TumorMLError(f"Recipe {self.name}: epochs must be at least 1, not {total}.")
        if total == self.epochs and not self.warm_phases:
            return self
        return self.varied(
            phases=_spread(self.phases, total),
            warm_phases=_spread(self.warm_phases, total) if self.warm_phases else (),
        )


def _spread(phases: tuple[Phase, ...], total: int) -> tuple[Phase, ...]:
    whole = sum(phase.epochs for phase in phases)
    spread: list[Phase] = []
    left = total - 1
    for phase in phases[:-1]:
        epochs = min(max(1, round(total * phase.epochs / whole)), left)
        if epochs > 0:
            spread.append(_with_epochs(phase, epochs))
            left -= epochs
    return (*spread, _with_epochs(phases[-1], left + 1))


def _with_epochs(phase: Phase, epochs: int) -> Phase:
    warmup_epochs = min(phase.warmup_epochs, epochs / 2)
    return phase.model_copy(update={"epochs": epochs, "warmup_epochs": warmup_epochs})


def recipe_names() -> list[str]:
    """The packaged recipes' names, sorted."""
    return sorted(path.stem for path in RECIPE_FOLDER.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """The packaged recipe of that name, or the recipe in a file when the argument ends in .toml.

    Raises:
        TumorMLError: there is no such recipe, or it is not a valid one.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path).expanduser()
    else:
        path = RECIPE_FOLDER / f"{name_or_path}.toml"
        if name_or_path not in recipe_names():
            raise TumorMLError(
                f"There is no recipe {name_or_path!r}. Packaged recipes: "
                f"{', '.join(recipe_names())}. "
                "A recipe of your own is named by its path, ending in .toml."
            )
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors begin a file with a mark
    except OSError as error:
        raise TumorMLError(f"Recipe file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TumorMLError(f"Recipe file {path} cannot be read: it is not UTF-8 text.") from error
    return recipe_from_text(text, source=str(path))


def recipe_from_text(text: str, source: str = "recipe") -> Recipe:
    """The recipe that a TOML text spells; `source` names it in error messages.

    Raises:
        TumorMLError: the text is not TOML, or a key is unknown, missing or out of range; the
            message names the source, each key and the reason.
    """
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TumorMLError(f"{source} is not valid TOML: {error}.") from error
    try:
        recipe = Recipe.model_validate(fields)
    except ValidationError as error:
        details = error.errors()
        # Of a list whose items are wrong none are left, which is not what is wrong.
        wrong = {detail["loc"][:1] for detail in details if len(detail["loc"]) > 1}
        reasons = "; ".join(_reason(detail) for detail in details if detail["loc"] not in wrong)
        raise TumorMLError(f"{source} is not a valid recipe: {reasons}.") from error
    recipe._text = text
    return recipe


def _reason(detail: Any) -> str:
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"{key}: there is no such key"
    if detail["type"] == "missing":
        return f"{key}: this key is missing"
    if detail["type"] in ("tuple_type", "too_short"):
        return f"{key}: give one [[{key}]], in double brackets, for each"
    if not isinstance(detail["input"], str | int | float):
        return f"{key}: {message}" if key else message
    return f"{key}: {message} (got {detail['input']!r:.80})"


def _render_toml(recipe: Recipe) -> str:
    fields = recipe.model_dump(mode="json", exclude_none=True)
    values = [f"{key} = {_render(value)}" for key, value in fields.items() if _is_value(value)]
    tables = [
        [f"[{key}]", *(f"{inner} = {_render(value)}" for inner, value in table.items())]
        for key, table in fields.items()
        if isinstance(table, dict)
    ]
    phases = [
        [f"[[{key}]]", *(f"{inner} = {_render(value)}" for inner, value in phase.items())]
        for key in ("phases", "warm_phases")
        for phase in fields[key]
    ]
    return "\n\n".join("\n".join(lines) for lines in [values, *tables, *phases]) + "\n"


def _is_value(value: object) -> bool:
    return not isinstance(value, dict | list)


def _render(value: bool | int | float | str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
