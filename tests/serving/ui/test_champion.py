"""Page "Champion": metrics, history, reports and verdicts."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.factories.champions import BuiltModel, make_champion
from tests.factories.predictions import add_test_predictions
from tests.factories.rows import verdict_row
from tests.factories.ui_pages import download_labels, open_page, page_text
from tumorml.objects import object_store
from tumorml.results.artifacts import record_artifacts
from tumorml.results.session import write_session
from tumorml.settings import Settings


def test_page_shows_metrics_history_reports_and_warning(
    settings: Settings, champion: str, other_model: BuiltModel
) -> None:
    new = make_champion(settings, other_model)
    add_test_predictions(settings, new, [("glioma", "glioma", 0.9)])
    key = f"runs/r-{new}/model-card.md"
    object_store(settings).write(key, b"# Model card")
    with write_session(settings) as session:
        card = {"object_key": key, "kind": "model_card", "media_type": "text/markdown"}
        record_artifacts(session, [card | {"size_bytes": 1, "sha256": "", "run_id": f"r-{new}"}])
    page = open_page("champion", settings)
    assert [(one.label, one.value, one.delta) for one in page.metric] == [
        ("Accuracy", "0.910", "0.870 to 0.940"),
        ("F1, macro", "0.910", "0.870 to 0.940"),
    ]
    assert list(page.dataframe[0].value["model_version"]) == [new, champion]
    assert download_labels(page) == ["model-card.md"]
    assert "SYNTHETIC" in page_text(page)


def test_verdicts_of_one_minute_are_distinct_and_show_waiting(
    settings: Settings, champion: str, other_model: BuiltModel
) -> None:
    new = make_champion(settings, other_model)
    moment = datetime(2026, 5, 3, tzinfo=UTC)
    with write_session(settings) as session:
        for name, model, approval in (("v-1", champion, None), ("v-2", new, "waiting")):
            session.add(
                verdict_row(
                    name, f"r-{model}", "four_class", model, outcome="promoted",
                    approval=approval, created_at=moment,
                )
            )  # fmt: skip
    page = open_page("champion", settings)
    assert sorted(page.selectbox(key="verdict-four_class").options) == [
        "2026-05-03 00:00 UTC, promoted, v-1",
        "2026-05-03 00:00 UTC, waiting, v-2",
    ]
