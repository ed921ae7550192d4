"""Display names of metrics, and the format of their values."""

from __future__ import annotations

from collections.abc import Mapping

from tumorml.results.tables import Evaluation

Numbers = Mapping[tuple[str, str], Evaluation]
"""``evaluation`` rows of one model version on one split, by metric and slice."""

METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "precision_macro": "precision, macro",
    "recall_macro": "recall, macro",
    "specificity_macro": "specificity, macro",
    "f1_macro": "F1, macro",
    "roc_auc_macro": "ROC AUC, macro",
    "pr_auc_macro": "PR AUC, macro",
    "log_loss": "log loss (nats, lower is better)",
    "brier": "Brier score (0 to 2, lower is better)",
    "ece": "calibration error (lower is better)",
    "tumor_sensitivity": "tumor sensitivity",
    "tumor_specificity": "tumor specificity",
    "pointing_game": "pointing game",
    "energy_inside": "energy inside the tumor",
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
"""The most important metrics, in display order."""


def format_metrics(numbers: Numbers) -> dict[str, str]:
    """Return the metrics of the entire split that have a value, formatted, by display name."""
    rows = {name: numbers.get((metric, "all")) for metric, name in METRIC_NAMES.items()}
    return {name: format_value(row) for name, row in rows.items() if row and row.value is not None}


def format_value(row: Evaluation | None) -> str:
    """Return a value with three decimals and, on a second line, its 95 % interval."""
    if row is None or row.value is None:
        return "-"
    if row.low is None or row.high is None:
        return f"{row.value:.3f}"
    return f"{row.value:.3f}\n{row.low:.3f} to {row.high:.3f}"
