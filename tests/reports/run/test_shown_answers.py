"""Wrong answers and heatmaps in a report, and the figures that are left out."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.factories.answers import FOUR, random_answers
from tests.factories.reports import RUN, judged_run
from tests.factories.written_reports import answers_in_rows, card_text, facts_of, report_page
from tumorml.evaluation.answers import Answers
from tumorml.explain.heatmaps import EVIDENCE_MEANING
from tumorml.labels import NO_TUMOR
from tumorml.objects import object_store
from tumorml.reports.run.curves import label_curves
from tumorml.results.session import write_session
from tumorml.results.tables import Run
from tumorml.settings import Settings


def test_missed_tumors_come_before_other_errors_by_confidence(settings: Settings) -> None:
    judged_run(settings, random_answers(7, 200), heatmaps=False)
    answers = answers_in_rows(settings)
    wrong = answers.predicted != answers.known_truth
    confidence = answers.probabilities[np.arange(200), answers.predicted][wrong]
    no_tumor = FOUR.index(NO_TUMOR)
    missed = (answers.predicted == no_tumor)[wrong]
    expected = [*np.sort(confidence[missed])[::-1], *np.sort(confidence[~missed])[::-1]]
    page = report_page(settings)
    captions = re.findall(r"<figcaption>(MISSED TUMOR: )?true \w+, predicted \w+ ([\d.]+);", page)
    shown = [float(probability) for _, probability in captions]
    assert len(shown) == min(18, wrong.sum())
    assert shown == pytest.approx(expected[: len(shown)], abs=0.0051)
    assert [bool(flag) for flag, _ in captions] == [
        position < missed.sum() for position in range(len(shown))
    ]
    tumors = (answers.known_truth != no_tumor).sum()
    assert f"{wrong.sum()} of 200 test answers are wrong, and {missed.sum()} of {tumors}" in page


def test_deleted_heatmap_leaves_a_placeholder(settings: Settings) -> None:
    judged_run(settings, random_answers(13, 60))
    object_store(settings).remove("runs/r-new/heatmaps/made.png")
    assert ">no heatmap</div>" in report_page(settings)


@pytest.mark.parametrize(
    ("recipe", "explanation"),
    [
        ("[evidence]\nunits = 8", f"{EVIDENCE_MEANING}. If the map is dark everywhere"),
        ("", "LayerCAM heatmap. Bright regions supported the predicted label most"),
    ],
)
def test_heatmap_is_explained_according_to_the_recipe(
    settings: Settings, recipe: str, explanation: str
) -> None:
    judged_run(settings, random_answers(1, 60))
    with write_session(settings) as session:
        session.get_one(Run, RUN).recipe_text = recipe
    assert report_page(settings).count(explanation) == 2


@pytest.mark.parametrize(
    ("pointing", "warning"),
    [
        (None, "was not measured: validation and test each need scans with a tumor mask"),
        ((0.4, 0.25, 0.6), "does not beat pointing without looking at the scan"),
    ],
)
def test_warning_about_heatmaps_is_in_the_first_section(
    settings: Settings, pointing: tuple[float, float, float] | None, warning: str
) -> None:
    judged_run(settings, random_answers(6, 80), pointing=pointing)
    page = report_page(settings)
    assert page.count(warning) == 1
    assert page.index(warning) < page.index('id="part-2"') < page.index("<img")
    assert warning in card_text(settings)


def test_test_scans_of_one_label_have_no_curves(settings: Settings) -> None:
    answers = random_answers(5, 60)
    one_label = np.full_like(answers.known_truth, 1)
    judged_run(
        settings,
        Answers(answers.scan_ids, FOUR, answers.probabilities, answers.predicted, one_label),
    )
    assert label_curves(facts_of(settings).challenger.answers) == ()
    assert "There are no curves: the test scans have fewer than two labels" in report_page(settings)
