"""The promotion policy file: validation and checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.factories.runs import lenient_policy
from tumorml.errors import TumorMLError
from tumorml.policy import load_policy
from tumorml.settings import PROJECT_ROOT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("resamples = 2", "resamples"),
        ("resamples = ", "not TOML"),
        ("unknown = 1", "unknown"),
        ('[gain]\nevidence = ["luck"]', "evidence"),
        ('[gain]\nevidence = ["mcnemar", "mcnemar"]', "named once"),
        ("[golden]\ntolerance = inf", "golden.tolerance"),
        ("[approval]\ntimeout_hours = 1e11", "approval.timeout_hours"),
        ('[slices]\nby = ["patient_id"]', "patient_id"),
    ],
)
def test_invalid_policy_error_names_file_and_field(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(TumorMLError, match=reason) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)


def test_missing_policy_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(TumorMLError, match=r"missing\.toml cannot be read"):
        load_policy(tmp_path / "missing.toml")


def test_too_few_resamples_for_the_confidence_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TumorMLError, match=r"resamples.*non_inferiority.confidence"):
        load_policy(lenient_policy(tmp_path, confidence=0.999))


def test_checksum_is_of_the_files_text(tmp_path: Path) -> None:
    path = lenient_policy(tmp_path)
    policy = load_policy(path)
    assert policy.text == path.read_text()
    assert policy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert policy.sha256 != load_policy(PROJECT_ROOT / "promotion.toml").sha256
