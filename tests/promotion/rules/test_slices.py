"""The slice rule: the accuracy on parts of the test set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.factories.contests import SCANS, contest, packaged_policy
from tests.factories.runs import confident_answers
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.slices import SLICE_NOT_WORSE


def contest_with_slices() -> Contest:
    """The challenger is wrong about half of the first 400 scans, and better elsewhere."""
    subject = contest(0.05, 0.10)
    predicted = subject.challenger.predicted.copy()
    predicted[:400:2] = (subject.truth[:400:2] + 1) % 4
    scans = np.arange(SCANS)
    return replace(
        subject,
        challenger=confident_answers(list(subject.groups), subject.truth, predicted),
        slices={"site=north": scans < 400, "site=south": scans >= 400, "site=tiny": scans < 40},
    )


def test_only_the_worse_slice_fails_and_a_small_one_is_skipped() -> None:
    results = SLICE_NOT_WORSE.check(contest_with_slices(), packaged_policy())
    assert {row.slice: row.result for row in results} == {
        "site=north": "failed",
        "site=south": "passed",
    }
    assert [row.scans for row in results] == [400, 3600]


def test_slice_of_few_groups_is_skipped() -> None:
    subject = replace(contest_with_slices(), groups=[str(index // 40) for index in range(SCANS)])
    results = SLICE_NOT_WORSE.check(subject, packaged_policy())
    assert [row.slice for row in results] == ["site=south"]
