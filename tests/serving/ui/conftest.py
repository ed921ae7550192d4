"""A running API for the pages, and protection of ``__main__``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.factories.running_api import running_api
from tumorml.settings import Settings


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore ``__main__``: Streamlit replaces it, and spawned processes of later tests run it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def api(settings: Settings, champion: str) -> Iterator[Settings]:
    """Settings of pages with a running API."""
    with running_api(settings) as served:
        yield served
