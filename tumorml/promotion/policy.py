"""The promotion policy: one TOML file, typed, stored whole with each verdict."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from tumorml.errors import TumorMLError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Points = Annotated[float, Field(ge=0.0, le=100.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(_Section):
    """How much a verdict must rest on."""

    min_test_scans_per_label: PositiveInt
    min_test_groups_per_label: PositiveInt


class FirstModel(_Section):
    """Absolute floors of the first champion."""

    min_f1_macro: Share
    min_recall: Share


class Gain(_Section):
    """What counts as beating the champion."""

    min_gain_points: Points


class NonInferiority(_Section):
    """What a challenger may not lose."""

    recall_margin_points: Points


class Policy(_Section):
    """When a challenger becomes champion."""

    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    resamples: Annotated[int, Field(ge=200, le=1_000_000)]
    evidence: Evidence
    first_model: FirstModel
    gain: Gain
    non_inferiority: NonInferiority
    text: Annotated[str, Field(exclude=True)] = ""

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
    except tomllib.TOMLDecodeError as error:
        raise TumorMLError(f"The promotion policy {path} is not TOML: {error}") from error
    try:
        return Policy(**{**values, "text": text})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()
        )
        raise TumorMLError(f"The promotion policy {path} is not valid: {wrong}") from error
