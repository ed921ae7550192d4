"""The version of the code that a run records."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tumorml.training import code_version as module
from tumorml.training.code_version import code_version


def test_code_version_of_an_image_comes_from_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUMORML_CODE_VERSION", "1234abc")
    assert code_version() == "1234abc"


def test_code_version_falls_back_to_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUMORML_CODE_VERSION", "")
    monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
    assert code_version() == version("tumorml")
