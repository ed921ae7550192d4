"""Contests between models with chosen shares of wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from tests.factories.runs import confident_answers
from tumorml.evaluation.answers import Answers
from tumorml.policy import Policy, load_policy
from tumorml.promotion.contest import Contest, GoldenCheck
from tumorml.promotion.rules import RuleResult, apply_rules
from tumorml.settings import PROJECT_ROOT

GOLDEN = GoldenCheck(16, largest_difference=1e-6, latency_ms=20.0)
SCANS = 4000


def packaged_policy() -> Policy:
    """The packaged policy, with fewer resamples and without a ceiling of the calibration error."""
    packaged = load_policy(PROJECT_ROOT / "promotion.toml")
    floors = packaged.floors.model_copy(update={"max_calibration_error": 1.0})
    return packaged.model_copy(update={"resamples": 400, "floors": floors})


def contest(challenger_errors: float, champion_errors: float | None, scans: int = SCANS) -> Contest:
    """A contest on scans of four labels in turn, each scan a group of its own.

    Args:
        challenger_errors: Share of scans that the challenger answers wrong, with the next label.
        champion_errors: Share of scans that the champion answers wrong; None for a first model.
            The wrong scans of the better model are a subset of those of the worse one.
        scans: Number of test scans.
    """
    truth = np.arange(scans) % 4
    draw = np.random.default_rng(5).random(scans)
    names = [str(index) for index in range(scans)]

    def answers(errors: float) -> Answers:
        return confident_answers(names, truth, np.where(draw < errors, (truth + 1) % 4, truth))

    return Contest(
        groups=names,
        challenger=answers(challenger_errors),
        champion=None if champion_errors is None else answers(champion_errors),
        anchor=None,
        slices={},
        leaking=0,
        golden=GOLDEN,
        given_split=False,
    )


@cache
def results_of(challenger_errors: float, champion_errors: float | None) -> tuple[RuleResult, ...]:
    """Apply all rules of the packaged policy to a contest; computed once for all tests."""
    return tuple(apply_rules(contest(challenger_errors, champion_errors), packaged_policy()))


def with_errors_on(answers: Answers, label: int, *, one_in: int, predicted_label: int) -> Answers:
    """Change the answers about one label: right, but for one scan in ``one_in``."""
    scans_of_label = np.flatnonzero(answers.known_truth == label)
    predicted = answers.predicted.copy()
    predicted[scans_of_label] = label
    predicted[scans_of_label[::one_in]] = predicted_label
    return confident_answers(list(answers.scan_ids), answers.known_truth, predicted)


def find_result(results: Sequence[RuleResult], name: str, slice_name: str = "all") -> RuleResult:
    """Return the result of this name on this slice."""
    return next(row for row in results if (row.rule, row.slice) == (name, slice_name))
