"""A champion, an image to predict, and the environment of a process that serves it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.factories.champions import build_model, make_champion, noise_scans
from tumorml.scans.images.decode import encode_png
from tumorml.settings import PROJECT_ROOT, Settings


@pytest.fixture
def champion(settings: Settings, tmp_path: Path) -> str:
    (tmp_path / "made").mkdir()
    return make_champion(settings, build_model(tmp_path / "made", seed=1))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(encode_png(noise_scans(1, seed=4)[0]))
    return path


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """Environment with the test's settings, without the variables of the test process."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT_ROOT),
        "TUMORML_HOME": str(settings.home),
        "TUMORML_DATABASE_URL": str(settings.database_url),
        "TUMORML_READER_DATABASE_URL": str(settings.reader_database_url),
    }
