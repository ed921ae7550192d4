"""What a model version's heatmaps are worth, whether it serves or not."""

from __future__ import annotations

import pytest

from tests.factories.answers import make_answers
from tests.factories.reports import CHALLENGER, CHAMPION, judged_run
from tumorml.reports.facts.heatmap_claims import heatmap_claim
from tumorml.settings import Settings


@pytest.mark.parametrize(
    ("pointing", "said", "is_warning"),
    [
        (None, "was not measured", True),
        ((0.3, 0.2, 0.4), "does not beat pointing without looking", True),
        ((0.8, 0.7, 0.9), "Both baselines that look at no scan are beaten", False),
    ],
)
def test_a_model_version_that_never_served_has_the_claim_of_its_own_run(
    settings: Settings, pointing, said: str, is_warning: bool
) -> None:
    judged_run(settings, make_answers(1, 60), make_answers(2, 60), pointing=pointing)
    claim = heatmap_claim(settings, CHALLENGER)
    assert claim is not None
    assert said in claim.text and claim.is_warning is is_warning
    older = heatmap_claim(settings, CHAMPION)
    assert older is not None and "was not measured" in older.text
    assert heatmap_claim(settings, "m-none") is None
