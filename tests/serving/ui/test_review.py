"""Page "Review": label conflicts, disagreements and confident errors."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select

from tests.factories.champions import BuiltModel, make_champion, noise_scans
from tests.factories.predictions import add_test_predictions, select_rows
from tests.factories.rows import Dropped, add_batch, scan_of, verdict_row
from tests.factories.ui_pages import images, open_page, page_text
from tumorml.objects import object_store
from tumorml.results.session import write_session
from tumorml.results.tables import Prediction
from tumorml.scans.images.decode import encode_png
from tumorml.settings import Settings


def test_conflict_is_settled_only_with_label_name_and_reason(settings: Settings) -> None:
    add_batch(settings, "b-1", [Dropped("x", "glioma"), Dropped("x", "pituitary")])
    page = open_page("review", settings)
    assert "Conflicts: **1**" in page_text(page)
    page.button[0].click().run()
    assert "Choose the correct label and enter your name" in page_text(page)
    page.radio[0].set_value("pituitary")
    page.text_input[1].set_value("Dr Example")
    page.button[0].click().run()
    assert "reason" in page.error[0].value
    page.text_input[0].set_value("pathology report")
    page.button[0].click().run()
    assert not page.exception
    assert "There are no label conflicts" in page_text(page)
    (decision,) = select_rows(settings, "select * from label_decision")
    assert (decision["scan_id"], decision["label"]) == (scan_of("x"), "pituitary")
    assert (decision["reason"], decision["who"]) == ("pathology report", "Dr Example")


def test_disagreement_shows_both_predictions(
    settings: Settings, champion: str, other_model: BuiltModel
) -> None:
    challenger = make_champion(settings, other_model)
    (scan,) = add_test_predictions(settings, challenger, [("glioma", "glioma", 0.98)])
    run = f"r-{challenger}"
    with write_session(settings) as session:
        session.add(
            verdict_row("v", run, "four_class", challenger, champion_id=champion, outcome="kept")
        )
        session.add(
            Prediction(
                run_id=run, model_version_id=champion, scan_id=scan, source="evaluation",
                task="four_class", label="no_tumor", true_label="glioma", probability=0.7,
                probabilities={}, created_at=datetime.now(UTC),
            )
        )  # fmt: skip
    page = open_page("review", settings)
    page.segmented_control(key="list").set_value("Disagreements").run()
    (image,) = images(page)
    assert image.captions == ["true label: glioma"]
    assert ":material/close: champion: **no tumor** 70.0 %" in page_text(page)
    assert ":material/check: challenger: **glioma** 98.0 %" in page_text(page)


def test_confident_error_is_shown_with_its_scan(settings: Settings, champion: str) -> None:
    wrong, _, _ = add_test_predictions(
        settings, champion,
        [("glioma", "pituitary", 0.97), ("glioma", "pituitary", 0.5), ("glioma", "glioma", 0.99)],
    )  # fmt: skip
    page = open_page("review", settings)
    page.segmented_control(key="list").set_value("Confident errors").run()
    (image,) = images(page)
    assert image.captions == [
        f"predicted: pituitary 97.0 %, true label: glioma, scan {wrong[:16]}",
    ]


def test_confident_error_with_a_heatmap_has_its_claim(settings: Settings, champion: str) -> None:
    add_test_predictions(settings, champion, [("glioma", "pituitary", 0.97)])
    object_store(settings).write("h.png", encode_png(noise_scans(1)[0]))
    with write_session(settings) as session:
        session.scalars(select(Prediction)).one().heatmap_key = "h.png"
    page = open_page("review", settings)
    page.segmented_control(key="list").set_value("Confident errors").run()
    assert len(images(page)) == 1
    assert "How well the heatmaps locate tumors was not measured" in page_text(page)
