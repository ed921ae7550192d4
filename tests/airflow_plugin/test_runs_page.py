"""The page about the runs of a DAG run, from rows of a real results store."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.factories.answers import random_answers
from tests.factories.reports import CHALLENGER, RUN, judged_run
from tumorml.airflow_plugin import pages
from tumorml.results.artifacts import artifact_row, record_artifacts
from tumorml.results.session import write_session
from tumorml.settings import Settings


@pytest.fixture
def page(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """A function that returns the HTML of the page."""
    monkeypatch.setattr(pages, "get_settings", lambda: settings)
    return lambda: bytes(pages.runs("test").body).decode()


def add_heatmaps(settings: Settings, count: int) -> None:
    with write_session(settings) as session:
        record_artifacts(
            session,
            [
                artifact_row(
                    "heatmap", f"runs/{RUN}/heatmaps/{n}.png", b"",
                    random_answers(1, 60).scan_ids[0], CHALLENGER, RUN,
                )
                for n in range(count)
            ],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("pointing", "claim"),
    [
        (None, '<p class="warning">How well the heatmaps locate tumors was not measured'),
        ((0.3, 0.2, 0.4), "This does not beat pointing without looking"),
        ((0.8, 0.7, 0.9), "<p>The hottest point"),
    ],
)
def test_claim_about_heatmaps_precedes_the_links(
    settings: Settings,
    page: Callable[[], str],
    pointing: tuple[float, float, float] | None,
    claim: str,
) -> None:
    judged_run(settings, random_answers(1, 60), pointing=pointing)
    assert claim not in page()
    add_heatmaps(settings, 1)
    shown = page()
    assert shown.index(claim) < shown.index("heatmaps/0.png")


def test_pictures_beyond_the_limit_are_counted_but_not_linked(
    settings: Settings, page: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SHOWN_PICTURES", 5)
    judged_run(settings, random_answers(1, 60))
    add_heatmaps(settings, 12)
    shown = page()
    assert len(re.findall(r"heatmaps/\d+\.png", shown)) == 5
    assert "12 pictures" in shown and "The first 5" in shown
