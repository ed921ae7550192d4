"""The promotion policy: one TOML file, typed, stored whole with each verdict."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from tumorml.errors import TumorMLError
from tumorml.labels import NO_TUMOR

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Points = Annotated[float, Field(ge=0.0, le=100.0)]
Confidence = Annotated[float, Field(gt=0.5, lt=1.0)]
Evidence = Literal["f1_macro", "log_loss", "mcnemar"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Floors(_Section):
    """What every model must reach by itself."""

    min_scans_per_label: PositiveInt
    min_groups_per_label: PositiveInt
    """With fewer test scans or groups of a label the verdict is ``insufficient``."""
    min_f1_macro: Share
    min_recall: Share
    max_calibration_error: Share


class Gain(_Section):
    """What counts as beating the champion."""

    evidence: tuple[Evidence, ...] = Field(min_length=1)
    """Any one of them is enough; the chance of error is shared among them."""

    @field_validator("evidence")
    @classmethod
    def _once(cls, evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
        if len(set(evidence)) < len(evidence):
            raise ValueError("each kind of evidence can be named once")
        return evidence


class Looks(_Section):
    """How often one version of the test set may be asked, and what that may cost."""

    budget: PositiveInt
    alpha: Annotated[float, Field(ge=1e-6, lt=0.5)]
    """The chance that any look of the budget lets a challenger win that is no better."""
    renewal_share: Annotated[float, Field(gt=0.0, le=1.0)]
    """The test set is a new version when this share of its groups is new."""

    @property
    def alpha_per_look(self) -> float:
        """Bonferroni's share of each look."""
        return self.alpha / self.budget


class NonInferiority(_Section):
    """What a challenger may not lose, each by a lower bound of the paired change."""

    confidence: Confidence
    recall_margin_points: Points
    tumor_recall_margin_points: Points
    missed_tumor_margin_points: Points
    """Of the share of tumours that are not called ``no_tumor``."""
    calibration_margin_points: Points
    anchor_margin_points: Points
    """Of macro F1, against the anchor: the first champion, or the newest authorised one."""

    def recall_margin(self, label: str) -> float:
        """The margin of a label's recall, as a share."""
        points = self.recall_margin_points if label == NO_TUMOR else self.tumor_recall_margin_points
        return points / 100


class Slices(_Section):
    """Parts of the test set on which a challenger may not be clearly worse."""

    by: tuple[str, ...]
    """``batch``, ``site``, ``size``, or any further column of the drops' manifests."""

    @field_validator("by")
    @classmethod
    def _columns(cls, by: tuple[str, ...]) -> tuple[str, ...]:
        wrong = sorted({*by} & {"path", "label", "patient_id", "study_id", "mask", "split"})
        if wrong:
            raise ValueError(f"no slices can be made by {', '.join(wrong)}")
        if len({column.casefold() for column in by}) < len(by):
            raise ValueError("each column can be named once")
        return by

    min_scans: PositiveInt
    min_groups: PositiveInt
    margin_points: Points


class Golden(_Section):
    """How exactly, and how fast, the stored artifact must repeat what training answered."""

    tolerance: PositiveFloat
    """Largest absolute difference of a probability."""
    max_latency_ms: PositiveFloat
    """Of one scan, the median over the golden scans, in milliseconds."""


class Binary(_Section):
    """The operating point of a binary model."""

    min_sensitivity: Share
    """On validation: the threshold is 0.5, or the highest lower one that keeps this."""


class Approval(_Section):
    """When a person decides over a challenger that has won."""

    always: bool
    when_changed: bool
    """Where classes, input size or preprocessing differ from the champion's."""
    timeout_hours: Annotated[float, Field(gt=0.0, le=8760.0)]
    """Without an answer by then the challenger is turned down."""


class Policy(_Section):
    """When a challenger becomes champion."""

    resamples: Annotated[int, Field(ge=200, le=1_000_000)]
    floors: Floors
    gain: Gain
    looks: Looks
    non_inferiority: NonInferiority
    slices: Slices
    golden: Golden
    binary: Binary
    approval: Approval
    _text: str = PrivateAttr("")

    @model_validator(mode="after")
    def _percentiles_are_resolved(self) -> Self:
        if self.resamples * (1 - self.non_inferiority.confidence) < 10:
            raise ValueError(
                "so few resamples have no percentile of so high a confidence: resamples times "
                "(1 - non_inferiority.confidence) must be 10 or more"
            )
        return self

    @property
    def text(self) -> str:
        """The file, verbatim."""
        return self._text

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        TumorMLError: The file is missing, is no TOML, or says something a policy cannot.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise TumorMLError(f"The promotion policy {path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise TumorMLError(f"The promotion policy {path} is not UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        raise TumorMLError(f"The promotion policy {path} is not TOML: {error}") from error
    try:
        policy = Policy(**values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()
        )
        raise TumorMLError(f"The promotion policy {path} is not valid: {wrong}") from error
    policy._text = text
    return policy
