"""The numbers of a model version, as people read them."""

from __future__ import annotations

from collections.abc import Mapping

from tumorml.results.tables import Evaluation

Numbers = Mapping[tuple[str, str], Evaluation]
"""Evaluation rows of one model version on one split, by metric and slice."""

METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "f1": "F1",
    "roc_auc": "ROC area",
    "pr_auc": "PR area",
    "precision_macro": "precision, macro",
    "recall_macro": "recall, macro",
    "specificity_macro": "specificity, macro",
    "f1_macro": "F1, macro",
    "roc_auc_macro": "ROC area, macro",
    "pr_auc_macro": "PR area, macro",
    "log_loss": "log loss (nats, lower is better)",
    "brier": "Brier score (0 to 2, lower is better)",
    "ece": "calibration error (lower is better)",
    "tumor_sensitivity": "tumour sensitivity",
    "tumor_specificity": "tumour specificity",
    "pointing_game": "pointing game",
    "energy_inside": "energy inside the tumour",
    "iou": "overlap (IoU)",
}

HEADLINES = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "roc_auc_macro",
    "log_loss",
    "ece",
    "tumor_sensitivity",
    "tumor_specificity",
)
"""The metrics that stand first, where not all of them do, in this order."""


def measured(numbers: Numbers) -> dict[str, str]:
    """Of all scans the metrics that have a value, by their names, as ``cell`` writes them."""
    found = {name: numbers.get((metric, "all")) for metric, name in METRIC_NAMES.items()}
    return {name: cell(row) for name, row in found.items() if row and row.value is not None}


def cell(row: Evaluation | None) -> str:
    """A value, and under it its 95 % interval."""
    if row is None or row.value is None:
        return "-"
    if row.low is None or row.high is None:
        return f"{row.value:.3f}"
    return f"{row.value:.3f}\n{row.low:.3f} to {row.high:.3f}"
