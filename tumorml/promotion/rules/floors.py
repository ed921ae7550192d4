"""Floors, ceilings and limits on the challenger's own values, without a comparison."""

from __future__ import annotations

from tumorml.evaluation.measures import measure
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.result import RuleResult, passed_if
from tumorml.promotion.rules.rule import Rule, RuleKind


def _check_latency(contest: Contest, policy: Policy) -> list[RuleResult]:
    golden, limit = contest.golden, policy.golden.max_latency_ms
    if golden.latency_ms is None:
        return []
    return [
        RuleResult(
            "golden_latency",
            "all",
            passed_if(golden.latency_ms <= limit),
            f"{golden.latency_ms:.0f} ms per scan; at most {limit:.0f} ms are allowed",
            golden.scans,
            golden.scans,
            challenger_value=golden.latency_ms,
            threshold=limit,
        )
    ]


def _check_f1(contest: Contest, policy: Policy) -> list[RuleResult]:
    floor = policy.floors.min_f1_macro
    f1 = float(measure(contest.challenger, ("f1_macro",))["f1_macro"])
    scans, groups = contest.size()
    return [
        RuleResult(
            "f1_floor",
            "all",
            passed_if(f1 >= floor),
            f"macro F1 {f1:.3f}, the floor is {floor:.3f}",
            scans,
            groups,
            challenger_value=f1,
            threshold=floor,
        )
    ]


def _check_recalls(contest: Contest, policy: Policy) -> list[RuleResult]:
    limits = policy.floors
    recalls = measure(contest.challenger, ("recall",))["recall"]
    results = []
    for index, label in enumerate(contest.labels):
        recall = float(recalls[index])
        scans, groups = contest.size(contest.truth == index)
        enough = scans >= limits.min_scans_per_label and groups >= limits.min_groups_per_label
        results.append(
            RuleResult(
                "recall_floor",
                f"label={label}",
                passed_if(recall >= limits.min_recall) if enough else "insufficient",
                f"recall {recall:.3f}, the floor is {limits.min_recall:.3f}"
                if enough
                else f"{scans} test scans in {groups} groups; at least "
                f"{limits.min_scans_per_label} scans in {limits.min_groups_per_label} groups are "
                "needed",
                scans,
                groups,
                challenger_value=recall if scans else None,
                threshold=limits.min_recall,
            )
        )
    return results


def _check_calibration(contest: Contest, policy: Policy) -> list[RuleResult]:
    ceiling = policy.floors.max_calibration_error
    error = float(measure(contest.challenger, ("ece",))["ece"])
    scans, groups = contest.size()
    return [
        RuleResult(
            "calibration_ceiling",
            "all",
            passed_if(error <= ceiling),
            f"expected calibration error {error:.3f}, the ceiling is {ceiling:.3f}",
            scans,
            groups,
            challenger_value=error,
            threshold=ceiling,
        )
    ]


GOLDEN_LATENCY = Rule(
    "golden_latency",
    RuleKind.FLOOR,
    "The median time of the stored model for one golden scan is within the limit.",
    _check_latency,
)
F1_FLOOR = Rule(
    "f1_floor",
    RuleKind.FLOOR,
    "Macro F1 on the test set reaches the floor.",
    _check_f1,
)
RECALL_FLOOR = Rule(
    "recall_floor",
    RuleKind.FLOOR,
    "The recall of each label reaches the floor; with too few test scans or groups of a label the "
    "result is insufficient.",
    _check_recalls,
)
CALIBRATION_CEILING = Rule(
    "calibration_ceiling",
    RuleKind.FLOOR,
    "The expected calibration error is at most the ceiling.",
    _check_calibration,
)
