"""A recipe: a TOML file that defines how a network is built and trained."""

from __future__ import annotations

import hashlib
import json
from typing import Literal, Self

from pydantic import Field, PositiveInt, PrivateAttr, field_validator, model_validator

from tumorml.errors import TumorMLError
from tumorml.recipes.registry import (
    NETWORKS,
    networks_with_evidence_map,
    networks_with_published_weights,
)
from tumorml.recipes.render_toml import render_toml
from tumorml.recipes.sections import (
    Augmentation,
    ClassBalance,
    Evidence,
    Optimizer,
    Phase,
    ReduceOnPlateau,
    Regularization,
    Section,
    ShareBelowOne,
)


class Recipe(Section):
    """Everything that determines how a network is built and trained, except the data and the seed.

    The fields are the keys of the TOML file.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    network: str
    input_size: int = Field(ge=32, le=1024, description="Side of the square input, in pixels.")
    weights: str = Field(
        "none",
        min_length=1,
        description='"imagenet" (published weights), "none" (random weights), or the path of a '
        "published file or of a .keras file.",
    )
    dense_units: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Units of a dense layer before the logits; no such layer by default.",
    )
    batch_size: int = Field(32, ge=1, le=65_536)
    dropout: ShareBelowOne = 0.0
    label_smoothing: ShareBelowOne = 0.0
    class_balance: ClassBalance = Field(
        "weights",
        description="How classes get equal influence: weights in the loss, or equal sampling.",
    )
    evidence: Evidence | None = None
    regularization: Regularization = Regularization()
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Keras dtype policy; weights and logits are always float32."
    )
    xla: bool = Field(False, description="Compile the training step with XLA, on one GPU.")
    batch_normalization: Literal["adapt", "keep"] = Field(
        "adapt", description="With `keep`, fine-tuning does not change pretrained statistics."
    )
    augmentation: Augmentation = Augmentation()
    test_time_flip: bool = Field(
        False, description="Predict with the mean logits of a scan and of its mirror image."
    )
    optimizer: Optimizer = Optimizer()
    kept_epoch: Literal["best", "last"] = Field(
        "best", description="Epoch whose weights are kept: lowest validation loss, or the last."
    )
    early_stopping_patience: PositiveInt | None = Field(
        None, description="Epochs without a lower validation loss after which the last phase ends."
    )
    reduce_on_plateau: ReduceOnPlateau | None = None
    phases: tuple[Phase, ...] = Field(min_length=1, strict=False)
    warm_start: bool = Field(
        False, description="Start from the champion's weights if its architecture is the same."
    )
    warm_phases: tuple[Phase, ...] = Field(
        (), strict=False, description="Phases of a warm start; by default those of `phases`."
    )

    _text: str | None = PrivateAttr(None)

    @field_validator("network")
    @classmethod
    def _network_is_registered(cls, network: str) -> str:
        if network not in NETWORKS:
            raise ValueError(f"there is no network {network!r}; known are {', '.join(NETWORKS)}")
        return network

    @model_validator(mode="after")
    def _weights_fit_the_network(self) -> Self:
        if NETWORKS[self.network].published_weights is not None:
            return self
        if self.weights == "imagenet":
            raise ValueError(
                f"{self.network} has no ImageNet weights; they exist for "
                f"{', '.join(networks_with_published_weights())}. "
                'Set weights = "none", or the path of a .keras file'
            )
        if self.weights != "none" and not self.weights.endswith(".keras"):
            raise ValueError(
                f"{self.network} has no published weights: set weights to the path of a .keras "
                f'file of this network, or to "none", not {self.weights!r}'
            )
        return self

    @model_validator(mode="after")
    def _kept_statistics_are_pretrained(self) -> Self:
        if self.batch_normalization == "keep" and self.weights == "none":
            raise ValueError(
                'batch_normalization = "keep" keeps pretrained statistics, and weights = "none" '
                'has none: set "adapt"'
            )
        return self

    @model_validator(mode="after")
    def _network_supports_the_evidence_map(self) -> Self:
        if self.evidence is None:
            return self
        if not NETWORKS[self.network].has_evidence_map:
            raise ValueError(
                f"{self.network} has no evidence map; networks with one are "
                f"{', '.join(networks_with_evidence_map())}"
            )
        if self.input_size % 32:
            raise ValueError(
                f"[evidence] needs an input_size that is a multiple of 32, not {self.input_size}"
            )
        return self

    @model_validator(mode="after")
    def _early_stopping_keeps_the_best(self) -> Self:
        if self.kept_epoch == "last" and self.early_stopping_patience is not None:
            raise ValueError(
                "early_stopping_patience ends a training some epochs after the best one; "
                'kept_epoch = "last" would keep a worse epoch'
            )
        return self

    @model_validator(mode="after")
    def _warm_phases_need_a_warm_start(self) -> Self:
        if self.warm_phases and not self.warm_start:
            raise ValueError("warm_phases need warm_start = true")
        return self

    @property
    def architecture(self) -> tuple[object, ...]:
        """Compatibility key: weights fit any recipe of the same task with an equal architecture."""
        decoder_units = self.evidence.units if self.evidence else None
        return (self.network, self.input_size, self.dense_units, decoder_units)

    @property
    def epochs(self) -> int:
        """Epochs over all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def text(self) -> str:
        """The TOML text that this recipe was read from, verbatim, or else its rendered fields."""
        if self._text is not None:
            return self._text
        return render_toml(self.model_dump(mode="json", exclude_none=True))

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the canonical JSON of the fields.

        Comments, the order of keys and explicit defaults do not change it. Therefore a new key in a
        later version does not change existing digests, unless the default of a key changes.
        """
        fields = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def with_text(self, text: str) -> Recipe:
        """Return this recipe with the TOML text that it was read from."""
        recipe = self.model_copy()
        recipe._text = text
        return recipe

    def with_fields(self, **fields: object) -> Recipe:
        """Return a copy with changed fields, without validation; its text is rendered again."""
        recipe = self.model_copy(update=fields)
        recipe._text = None
        return recipe

    def with_warm_phases(self) -> Recipe:
        """Return this recipe with the phases of a warm start."""
        return self.with_fields(phases=self.warm_phases or self.phases)

    def with_epochs(self, total: int) -> Recipe:
        """Return this recipe with `total` epochs, spread over its phases in proportion.

        The last phase keeps at least one epoch. The other phases get their epochs in order, and a
        phase without epochs is dropped. A warm-up takes at most half of its phase. The text is
        rendered again.

        Raises:
            TumorMLError: `total` is below one.
        """
        if total < 1:
            raise TumorMLError(f"Recipe {self.name}: epochs must be at least 1, not {total}.")
        if total == self.epochs and not self.warm_phases:
            return self
        return self.with_fields(
            phases=_spread_epochs(self.phases, total),
            warm_phases=_spread_epochs(self.warm_phases, total) if self.warm_phases else (),
        )


def _spread_epochs(phases: tuple[Phase, ...], total: int) -> tuple[Phase, ...]:
    current_total = sum(phase.epochs for phase in phases)
    spread: list[Phase] = []
    remaining = total - 1
    for phase in phases[:-1]:
        epochs = min(max(1, round(total * phase.epochs / current_total)), remaining)
        if epochs > 0:
            spread.append(phase.with_epochs(epochs))
            remaining -= epochs
    return (*spread, phases[-1].with_epochs(remaining + 1))
