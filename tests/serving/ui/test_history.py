"""Page "History": filters, limits, the cache, the CSV file and details of a prediction."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select

from tests.factories.champions import noise_scans
from tests.factories.predictions import add_test_predictions
from tests.factories.ui_pages import open_history_details, open_page, page_text
from tumorml.objects import object_store
from tumorml.results.session import write_session
from tumorml.results.tables import Prediction
from tumorml.scans.images.decode import encode_png
from tumorml.serving.api.queries import read_predictions
from tumorml.serving.ui.history import day_range, predictions_csv
from tumorml.settings import Settings


def test_filters_select_matching_rows(settings: Settings, champion: str) -> None:
    add_test_predictions(
        settings, champion,
        [("glioma", "glioma", 0.9), ("glioma", "pituitary", 0.8), ("pituitary", "pituitary", 0.7)],
    )  # fmt: skip
    page = open_page("history", settings)
    assert len(page.dataframe[0].value) == 3
    page.selectbox(key="Predicted label").select("pituitary").run()
    assert len(page.dataframe[0].value) == 2
    page.checkbox(key="wrong").check().run()
    (probability,) = page.dataframe[0].value["probability"]
    assert probability == 0.8
    page.selectbox(key="Predicted label").select("no_tumor").run()
    assert "No prediction matches the filters" in page_text(page)


def test_truncated_table_has_a_warning(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_test_predictions(settings, champion, [("glioma", "glioma", 0.9), ("glioma", "glioma", 0.8)])
    monkeypatch.setattr("tumorml.serving.ui.history.MAX_ROWS", 1)
    page = open_page("history", settings)
    assert "only the newest 1 predictions" in page_text(page)
    assert len(page.dataframe[0].value) == 1


def test_day_range_includes_the_last_day() -> None:
    day, next_day = datetime(2026, 5, 3, tzinfo=UTC), datetime(2026, 5, 4, tzinfo=UTC)
    assert day_range(()) == {}
    assert day_range((date(2026, 5, 3),)) == {"since": day, "until": next_day}
    assert day_range((date(2026, 5, 2), date(2026, 5, 3)))["until"] == next_day


def test_csv_has_every_column_and_json_for_probabilities() -> None:
    content = predictions_csv([{"scan": "a", "probabilities": {"glioma": 0.5}, "caller": None}])
    (row,) = csv.DictReader(io.StringIO(content.decode()))
    assert json.loads(row.pop("probabilities")) == {"glioma": 0.5}
    assert row == {"scan": "a", "caller": ""}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1"])
def test_csv_cell_is_never_a_formula(name: str) -> None:
    content = predictions_csv([{"file": name, "distance": -0.5}]).decode()
    (row,) = csv.DictReader(io.StringIO(content, ""))
    assert row == {"file": f"'{name}", "distance": "-0.5"}


def test_filter_options_are_the_recorded_callers_and_models(
    settings: Settings, champion: str
) -> None:
    add_test_predictions(settings, champion, [("glioma", "glioma", 0.9)] * 4)
    with write_session(settings) as session:
        for row, caller in zip(
            session.scalars(select(Prediction)), ["b_c", None, "a_b", "b_c"], strict=True
        ):
            row.caller = caller
    page = open_page("history", settings)
    assert page.selectbox(key="Caller").options == ["a_b", "b_c"]
    assert page.selectbox(key="Model version").options == [champion]
    assert "no tumor" in page.selectbox(key="Predicted label").options
    page.selectbox(key="Caller").select("b_c").run()
    assert len(page.dataframe[0].value) == 2


def test_rerun_uses_the_cache_and_a_new_filter_queries_again(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = []

    def counted(*args: Any, **options: Any) -> Any:
        queries.append(args)
        return read_predictions(*args, **options)

    monkeypatch.setattr("tumorml.serving.ui.history.read_predictions", counted)
    add_test_predictions(settings, champion, [("glioma", "glioma", 0.9)])
    page = open_page("history", settings)
    page.run()
    assert len(queries) == 1
    page.checkbox(key="wrong").check().run()
    assert len(queries) == 2


def test_details_show_the_heatmap_and_its_claim(settings: Settings, champion: str) -> None:
    add_test_predictions(settings, champion, [("glioma", "pituitary", 0.97)])
    object_store(settings).write("h.png", encode_png(noise_scans(1)[0]))
    with write_session(settings) as session:
        session.scalars(select(Prediction)).one().heatmap_key = "h.png"
    page = open_history_details(settings)
    assert len(page.get("image")) == 1
    assert "How well the heatmaps locate tumors was not measured" in page_text(page)
