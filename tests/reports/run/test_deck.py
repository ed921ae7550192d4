"""The slide deck of a run."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pptx import Presentation

from tests.factories.answers import random_answers
from tests.factories.reports import judged_run
from tests.factories.written_reports import facts_of
from tumorml.reports.render.slides import LEAST_POINTS, text_height
from tumorml.reports.run.deck import slide_deck
from tumorml.reports.run.figures import draw_run_figures
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def deck(module_settings: Settings) -> Any:
    judged_run(
        module_settings, random_answers(10, 150), random_answers(11, 150), pointing=(0.8, 0.7, 0.9)
    )
    facts = facts_of(module_settings)
    return Presentation(io.BytesIO(slide_deck(facts, draw_run_figures(facts))))


def test_deck_is_16_9_and_has_the_expected_slides(deck: Any) -> None:
    assert deck.slide_width * 9 == pytest.approx(deck.slide_height * 16, rel=0.001)
    titles = [slide.shapes.title.text for slide in deck.slides]
    assert titles[1:4] == ["Problem", "Approach", "Data and split"]
    assert titles[-2:] == ["Limits", "Next steps"]


def test_every_shape_lies_on_its_slide(deck: Any) -> None:
    for slide in deck.slides:
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.left + shape.width <= deck.slide_width
            assert shape.top >= 0 and shape.top + shape.height <= deck.slide_height


def test_text_fits_its_box(deck: Any) -> None:
    boxes = [shape for slide in deck.slides for shape in slide.shapes if shape.has_text_frame]
    assert len(boxes) > 20
    for box in boxes:
        size = box.text_frame.paragraphs[0].runs[0].font.size.pt
        lines = [paragraph.text for paragraph in box.text_frame.paragraphs]
        assert size > LEAST_POINTS
        assert text_height(lines, box.width.pt - 14, size) <= box.height.pt
