"""The sections of a recipe file, one pydantic model each."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
    model_validator,
)

ClassBalance = Literal["weights", "sampling", "none"]
ShareBelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of a recipe and its sections: immutable, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Augmentation(Section):
    """Random transforms of training scans, drawn for each scan and epoch; 0 disables one."""

    share: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Share of the scans that are transformed. The rest are only mirrored, if "
        "`flip` is on. Interpolation makes a transformed scan less sharp than the scans to be "
        "predicted.",
    )
    flip: bool = Field(False, description="Mirror left to right with probability 0.5.")
    rotation_degrees: float = Field(
        0.0, ge=0.0, le=180.0, description="Maximum rotation in either direction, in degrees."
    )
    zoom: ShareBelowOne = Field(0.0, description="Scale by a factor in 1 +- zoom.")
    shift: ShareBelowOne = Field(0.0, description="Maximum shift, as a share of the side.")
    brightness: ShareBelowOne = Field(
        0.0, description="Maximum change of brightness, as a share of 255."
    )
    contrast: ShareBelowOne = Field(0.0, description="Contrast factor in 1 +- contrast.")
    shear_degrees: float = Field(
        0.0, ge=0.0, le=60.0, description="Maximum shear in either direction, in degrees."
    )
    mixup: NonNegativeFloat = Field(
        0.0, description="Blend pairs of scans and their labels by a share from Beta(mixup, mixup)."
    )


class Regularization(Section):
    """Penalty on kernels that are not pretrained: all of a small network, or the head's."""

    l1: NonNegativeFloat = Field(0.0, description="Factor of the sum of absolute weights.")
    l2: NonNegativeFloat = Field(0.0, description="Factor of the sum of squared weights.")


class Evidence(Section):
    """An evidence map: it is trained on masks and weights the features that are classified."""

    units: PositiveInt = Field(96, description="Channels of the decoder that computes the map.")
    mask_weight: NonNegativeFloat = Field(
        1.0, description="Factor of the map's loss against the masks, for scans that have a mask."
    )


class Optimizer(Section):
    """The optimizer; each phase sets its learning rate."""

    name: Literal["adam", "adamw"] = "adam"
    weight_decay: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _only_adamw_decays(self) -> Self:
        if self.name == "adam" and self.weight_decay > 0:
            raise ValueError('weight_decay needs name = "adamw"')
        return self


class Phase(Section):
    """Consecutive epochs that train the same layers; each phase starts with a new optimizer."""

    name: str = Field(min_length=1)
    epochs: int = Field(ge=1, le=10_000)
    learning_rate: float = Field(gt=0.0, le=10.0)
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="`cosine` lowers the rate from learning_rate to zero, step by step."
    )
    warmup_epochs: NonNegativeFloat = Field(
        0.0, description="Epochs (fractions allowed) over which the rate rises from zero."
    )
    trainable: Literal["head", "all"] = Field(
        "all", description="With `head`, only the layers after the pooling are trained."
    )

    @model_validator(mode="after")
    def _warmup_ends_within_the_phase(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs:g}, more than the phase's {self.epochs}"
            )
        return self

    def with_epochs(self, epochs: int) -> Phase:
        """Return this phase with another length; its warm-up takes at most half of it."""
        warmup_epochs = min(self.warmup_epochs, epochs / 2)
        return self.model_copy(update={"epochs": epochs, "warmup_epochs": warmup_epochs})


class ReduceOnPlateau(Section):
    """Reduce the learning rate when the validation loss no longer falls."""

    patience: PositiveInt = 3
    factor: float = Field(0.3, gt=0.0, lt=1.0)
    minimum_share: float = Field(
        0.01, gt=0.0, lt=1.0, description="Lower limit, as a share of the phase's learning rate."
    )
