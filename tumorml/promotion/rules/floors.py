"""What every model must reach by itself."""

from __future__ import annotations

from tumorml.evaluation.measures import measure
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.result import RuleResult, passed_if


def floors(contest: Contest, policy: Policy) -> list[RuleResult]:
    """Macro F1, each label's recall and the calibration error against fixed bounds."""
    values = measure(contest.challenger, ("f1_macro", "recall", "ece"))
    scans, groups = contest.size()
    f1, error = float(values["f1_macro"]), float(values["ece"])
    bounds = policy.floors
    results = [
        RuleResult(
            "f1_floor",
            "all",
            passed_if(f1 >= bounds.min_f1_macro),
            f"macro F1 {f1:.3f}, the floor is {bounds.min_f1_macro:.3f}",
            scans,
            groups,
            challenger_value=f1,
            threshold=bounds.min_f1_macro,
        )
    ]
    for index, label in enumerate(contest.labels):
        recall = float(values["recall"][index])
        scans_of_label, groups_of_label = contest.size(contest.truth == index)
        enough = (
            scans_of_label >= bounds.min_scans_per_label
            and groups_of_label >= bounds.min_groups_per_label
        )
        results.append(
            RuleResult(
                "recall_floor",
                f"label={label}",
                passed_if(recall >= bounds.min_recall) if enough else "insufficient",
                f"recall {recall:.3f}, the floor is {bounds.min_recall:.3f}"
                if enough
                else f"{scans_of_label} test scans of {groups_of_label} groups; at least "
                f"{bounds.min_scans_per_label} of {bounds.min_groups_per_label} are asked",
                scans_of_label,
                groups_of_label,
                challenger_value=recall if scans_of_label else None,
                threshold=bounds.min_recall,
            )
        )
    results.append(
        RuleResult(
            "calibration_ceiling",
            "all",
            passed_if(error <= bounds.max_calibration_error),
            f"expected calibration error {error:.3f}, the ceiling is "
            f"{bounds.max_calibration_error:.3f}",
            scans,
            groups,
            challenger_value=error,
            threshold=bounds.max_calibration_error,
        )
    )
    return results
