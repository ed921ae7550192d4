"""The gate's rules: each looks at the same answers and leaves its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, recall_score

from tumorml.evaluation.bootstrap import ConfusionResamples, resample_confusions
from tumorml.promotion.policy import Policy

BOOTSTRAP_SEED = 20_261_101


@dataclass(frozen=True, slots=True)
class Contest:
    """What the rules judge on: the same n test scans, answered by both.

    Attributes:
        labels: Names of the classes.
        truth: int64 [n], class indices.
        groups: n group ids.
        challenger: int64 [n], predicted class indices.
        champion: The same of the champion, or None for the first model.
    """

    labels: Sequence[str]
    truth: NDArray[np.int64]
    groups: Sequence[str]
    challenger: NDArray[np.int64]
    champion: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """The champion's answers, and the same resamples of both."""

    predicted: NDArray[np.int64]
    challenger: ConfusionResamples
    champion: ConfusionResamples


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule's outcome with its numbers; values are shares (0 to 1), not points."""

    rule: str
    slice: str
    result: str
    """``passed``, ``failed`` or ``insufficient``."""
    explanation: str
    scans: int
    groups: int
    challenger_value: float | None = None
    champion_value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None


def apply_rules(contest: Contest, policy: Policy) -> list[RuleResult]:
    """Every rule that the policy asks for, in the order in which they are read."""
    results = enough_evidence(contest, policy)
    if contest.champion is None:
        return results + first_model_floors(contest, policy)
    pair = _Pair(
        contest.champion,
        _resample(contest, contest.challenger, policy),
        _resample(contest, contest.champion, policy),
    )
    return [
        *results,
        f1_gain(contest, policy, pair),
        *recall_non_inferiority(contest, policy, pair),
    ]


def enough_evidence(contest: Contest, policy: Policy) -> list[RuleResult]:
    """Enough test scans and groups of each label."""
    results = []
    for index, label in enumerate(contest.labels):
        scans, groups = _size(contest, index)
        least = policy.evidence
        enough = (
            scans >= least.min_test_scans_per_label and groups >= least.min_test_groups_per_label
        )
        results.append(
            RuleResult(
                "evidence",
                f"label={label}",
                "passed" if enough else "insufficient",
                f"{scans} test scans of {groups} groups; at least "
                f"{least.min_test_scans_per_label} of {least.min_test_groups_per_label} are asked",
                scans,
                groups,
                threshold=float(least.min_test_scans_per_label),
            )
        )
    return results


def first_model_floors(contest: Contest, policy: Policy) -> list[RuleResult]:
    """The first model's macro F1 and recalls against absolute floors."""
    scans, groups = _size(contest)
    value = _f1_macro(contest, contest.challenger)
    floor = policy.first_model.min_f1_macro
    results = [
        RuleResult(
            "first_model_f1_floor",
            "all",
            "passed" if value >= floor else "failed",
            f"macro F1 {value:.3f}, the floor is {floor:.3f}",
            scans,
            groups,
            challenger_value=value,
            threshold=floor,
        )
    ]
    floor = policy.first_model.min_recall
    for index, recall in enumerate(_recalls(contest, contest.challenger)):
        scans, groups = _size(contest, index)
        results.append(
            RuleResult(
                "first_model_recall_floor",
                f"label={contest.labels[index]}",
                "passed" if recall >= floor else "failed",
                f"recall {recall:.3f}, the floor is {floor:.3f}",
                scans,
                groups,
                challenger_value=float(recall),
                threshold=floor,
            )
        )
    return results


def f1_gain(contest: Contest, policy: Policy, pair: _Pair) -> RuleResult:
    """The lower bound of the paired gain in macro F1 is above the least gain."""
    new, old = _f1_macro(contest, contest.challenger), _f1_macro(contest, pair.predicted)
    drawn = np.nanmean(pair.challenger.f1() - pair.champion.f1(), axis=1)
    low, high = _bounds(drawn, policy)
    threshold = policy.gain.min_gain_points / 100
    scans, groups = _size(contest)
    return RuleResult(
        "f1_gain",
        "all",
        "passed" if low > threshold else "failed",
        f"macro F1 {old:.4f} to {new:.4f}, a change of {100 * (new - old):+.2f} points with lower "
        f"bound {100 * low:+.2f}; it must be above {100 * threshold:+.2f}",
        scans,
        groups,
        new,
        old,
        new - old,
        low,
        high,
        threshold,
    )


def recall_non_inferiority(contest: Contest, policy: Policy, pair: _Pair) -> list[RuleResult]:
    """No label's recall is worse than its margin, by the lower bound of the paired change."""
    new, old = _recalls(contest, contest.challenger), _recalls(contest, pair.predicted)
    margin = policy.non_inferiority.recall_margin_points / 100
    changes = pair.challenger.recall() - pair.champion.recall()
    results = []
    for index, label in enumerate(contest.labels):
        low, high = _bounds(changes[:, index], policy)
        scans, groups = _size(contest, index)
        change = float(new[index] - old[index])
        results.append(
            RuleResult(
                "recall_non_inferiority",
                f"label={label}",
                "passed" if low >= -margin else "failed",
                f"recall {old[index]:.4f} to {new[index]:.4f}, a change of {100 * change:+.2f} "
                f"points with lower bound {100 * low:+.2f}; it may not be below "
                f"{-100 * margin:+.2f}",
                scans,
                groups,
                float(new[index]),
                float(old[index]),
                change,
                low,
                high,
                -margin,
            )
        )
    return results


def _resample(contest: Contest, predicted: NDArray[np.int64], policy: Policy) -> ConfusionResamples:
    return resample_confusions(
        contest.truth,
        predicted,
        contest.groups,
        len(contest.labels),
        policy.resamples,
        BOOTSTRAP_SEED,
    )


def _bounds(values: NDArray[np.float64], policy: Policy) -> tuple[float, float]:
    low, high = np.nanquantile(values, (1 - policy.confidence, policy.confidence))
    return float(low), float(high)


def _f1_macro(contest: Contest, predicted: NDArray[np.int64]) -> float:
    classes = np.arange(len(contest.labels))
    return float(
        f1_score(contest.truth, predicted, labels=classes, average="macro", zero_division=0)
    )


def _recalls(contest: Contest, predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    classes = np.arange(len(contest.labels))
    return np.asarray(
        recall_score(contest.truth, predicted, labels=classes, average=None, zero_division=0)
    )


def _size(contest: Contest, index: int | None = None) -> tuple[int, int]:
    """Test scans and groups, of one class or of all."""
    chosen = np.ones(len(contest.truth), bool) if index is None else contest.truth == index
    return int(chosen.sum()), len(
        {g for g, of_it in zip(contest.groups, chosen, strict=True) if of_it}
    )
