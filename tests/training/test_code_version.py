"""Which code a run says that it was trained by."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tumorml.training import code_version as module
from tumorml.training.code_version import code_version


def test_an_image_says_what_it_was_built_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUMORML_CODE_VERSION", "1234abc")
    assert code_version() == "1234abc"


def test_without_git_or_an_image_it_is_the_packages_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUMORML_CODE_VERSION", "")
    monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
    assert code_version() == version("tumorml")
