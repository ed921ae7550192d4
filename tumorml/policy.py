"""The promotion policy: one TOML file, validated; its text is stored with each verdict."""

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
    """Absolute limits for every model: minimum scores and a maximum calibration error."""

    min_scans_per_label: PositiveInt
    min_groups_per_label: PositiveInt
    """With fewer test scans or groups of a label, the verdict is ``insufficient``."""
    min_f1_macro: Share
    min_recall: Share
    max_calibration_error: Share


class Gain(_Section):
    """Evidence that a challenger is better than the champion."""

    evidence: tuple[Evidence, ...] = Field(min_length=1)
    """One kind of evidence is enough; the look's alpha is divided equally among the kinds."""

    @field_validator("evidence")
    @classmethod
    def _check_unique(cls, evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
        if len(set(evidence)) < len(evidence):
            raise ValueError("each kind of evidence can be named once")
        return evidence


class Looks(_Section):
    """The budget of looks (comparisons) at one version of the test set."""

    budget: PositiveInt
    """Number of looks."""
    alpha: Annotated[float, Field(ge=1e-6, lt=0.5)]
    """Maximum probability that a challenger that is not better wins in any look of the budget."""
    renewal_share: Annotated[float, Field(gt=0.0, le=1.0)]
    """The test set becomes a new version when this share of its groups is new."""

    @property
    def alpha_per_look(self) -> float:
        """Significance level of each look (Bonferroni correction)."""
        return self.alpha / self.budget


class NonInferiority(_Section):
    """Margins of the non-inferiority rules, each for a one-sided bound of a paired change."""

    confidence: Confidence
    recall_margin_points: Points
    tumor_recall_margin_points: Points
    missed_tumor_margin_points: Points
    """Margin of the share of tumors that are not called ``no_tumor``."""
    calibration_margin_points: Points
    anchor_margin_points: Points
    """Margin of macro F1 against the anchor: the first champion, or the newest authorized one."""

    def recall_margin(self, label: str) -> float:
        """Return the margin of a label's recall, as a share."""
        points = self.recall_margin_points if label == NO_TUMOR else self.tumor_recall_margin_points
        return points / 100


class Slices(_Section):
    """Slices (parts of the test set) on which a challenger may not be clearly worse."""

    by: tuple[str, ...]
    """``batch``, ``site``, ``size``, or any other column of the manifests."""

    @field_validator("by")
    @classmethod
    def _check_columns(cls, by: tuple[str, ...]) -> tuple[str, ...]:
        forbidden = sorted({*by} & {"path", "label", "patient_id", "study_id", "mask", "split"})
        if forbidden:
            raise ValueError(f"slices by {', '.join(forbidden)} are not possible")
        if len({column.casefold() for column in by}) < len(by):
            raise ValueError("each column can be named once")
        return by

    min_scans: PositiveInt
    min_groups: PositiveInt
    """Smaller slices are not judged."""
    margin_points: Points


class Golden(_Section):
    """Limits for the stored model's error and latency on its golden scans."""

    tolerance: PositiveFloat
    """Largest absolute difference of a probability."""
    max_latency_ms: PositiveFloat
    """Median time of one golden scan, in milliseconds."""


class Binary(_Section):
    """The operating point of a binary model."""

    min_sensitivity: Share
    """Minimum sensitivity on the validation scans.

    The threshold is 0.5, or the highest lower value that reaches this sensitivity.
    """


class Approval(_Section):
    """Conditions under which a winning challenger needs a person's approval."""

    always: bool
    when_changed: bool
    """Require approval if classes, input size or preprocessing differ from the champion's."""
    timeout_hours: Annotated[float, Field(gt=0.0, le=8760.0)]
    """Without an answer within this time, the challenger is rejected."""


class Policy(_Section):
    """The conditions under which a challenger becomes champion."""

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
    def _check_resamples(self) -> Self:
        if self.resamples * (1 - self.non_inferiority.confidence) < 10:
            raise ValueError(
                "too few resamples for the percentile of this confidence: resamples times "
                "(1 - non_inferiority.confidence) must be at least 10"
            )
        return self

    @property
    def text(self) -> str:
        """Text of the file, verbatim."""
        return self._text

    @property
    def sha256(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_policy(path: Path) -> Policy:
    """Read and validate a policy file.

    Raises:
        TumorMLError: The file is missing, is not TOML, or has a missing, unknown or invalid field.
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
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise TumorMLError(f"The promotion policy {path} is not valid: {problems}") from error
    policy._text = text
    return policy
