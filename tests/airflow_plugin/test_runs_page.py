"""The page about the runs of a DAG run, over rows of a real results store."""

from __future__ import annotations

import re

import pytest

from tests.factories.answers import make_answers
from tests.factories.reports import CHALLENGER, RUN, judged_run
from tumorml.airflow_plugin import pages
from tumorml.results.artifacts import artifact_row, record_artifacts
from tumorml.results.session import write_session
from tumorml.settings import Settings


@pytest.fixture
def page(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """The page's text as it is now."""
    monkeypatch.setattr(pages, "get_settings", lambda: settings)
    return lambda: bytes(pages.runs("test").body).decode()


def draw(settings: Settings, count: int) -> None:
    with write_session(settings) as session:
        record_artifacts(
            session,
            [
                artifact_row(
                    "heatmap", f"runs/{RUN}/heatmaps/{n}.png", b"",
                    make_answers(1, 60).scan_ids[0], CHALLENGER, RUN,
                )
                for n in range(count)
            ],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("pointing", "said"),
    [
        (None, '<p class="warning">How well the heatmaps point at tumours was not measured'),
        ((0.3, 0.2, 0.4), "That does not beat pointing without looking"),
        ((0.8, 0.7, 0.9), "<p>The warmest place"),
    ],
)
def test_heatmaps_stand_below_what_they_are_worth(
    settings: Settings, page, pointing, said: str
) -> None:
    judged_run(settings, make_answers(1, 60), pointing=pointing)
    assert said not in page()
    draw(settings, 1)
    shown = page()
    assert shown.index(said) < shown.index("heatmaps/0.png")


def test_of_very_many_pictures_the_first_are_linked_and_all_are_counted(
    settings: Settings, page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SHOWN_PICTURES", 5)
    judged_run(settings, make_answers(1, 60))
    draw(settings, 12)
    shown = page()
    assert len(re.findall(r"heatmaps/\d+\.png", shown)) == 5
    assert "12 pictures" in shown and "The first 5" in shown
