"""Random answers and their metrics by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from tumorml.evaluation.answers import Answers
from tumorml.evaluation.measures import CONFIDENCE_BINS, LEAST_PROBABILITY
from tumorml.labels import LABELS, NO_TUMOR, Task

FOUR = LABELS[Task.FOUR_CLASS]


def random_answers(
    seed: int,
    scans: int,
    *,
    labels: Sequence[str] = FOUR,
    absent: int | None = None,
    tied: bool = False,
) -> Answers:
    """Make random answers that are better than chance.

    A tenth of the predicted classes is random instead of the most probable one.

    Args:
        seed: Seed of the random numbers.
        scans: Number of scans.
        labels: Names of the classes.
        absent: Index of a class without scans.
        tied: Make all probabilities multiples of 0.2, including 0.
    """
    generator = np.random.default_rng(seed)
    classes = len(labels)
    truth = generator.choice([index for index in range(classes) if index != absent], scans)
    logits = generator.normal(size=(scans, classes)) + 1.5 * np.eye(classes)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if tied:
        probabilities = generator.multinomial(5, probabilities) / 5
    predicted = probabilities.argmax(axis=1)
    moved = generator.random(scans) < 0.1
    predicted[moved] = generator.integers(0, classes, moved.sum())
    ids = [f"scan-{index}" for index in range(scans)]
    return Answers(ids, labels, probabilities.astype(np.float32), predicted, truth)


def scikit_learn_metrics(answers: Answers, scans: np.ndarray) -> dict[str, np.ndarray]:
    """Compute every metric of scans, given as indices that repeat as often as a scan counts."""
    truth, predicted = answers.known_truth[scans], answers.predicted[scans]
    probabilities = answers.probabilities[scans].astype(np.float64)
    classes = list(range(len(answers.labels)))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=classes, zero_division=0
    )
    present = support > 0
    found = {"precision": precision, "recall": recall, "f1": f1}
    found["specificity"] = np.array(
        [recall_score(truth != c, predicted != c, zero_division=np.nan) for c in classes]
    )
    found = {name: np.where(present, values, np.nan) for name, values in found.items()}
    for name, area in (("roc_auc", roc_auc_score), ("pr_auc", average_precision_score)):
        found[name] = np.array(
            [
                area(truth == c, probabilities[:, c]) if 0 < support[c] < len(truth) else np.nan
                for c in classes
            ]
        )
    found |= {f"{name}_macro": mean_of_known(values) for name, values in found.items()}
    whole = np.bincount(answers.known_truth, minlength=len(classes))
    if (whole == 0).any() or (whole == len(answers.known_truth)).any():
        found["roc_auc_macro"] = found["pr_auc_macro"] = np.nan
    return found | {
        "accuracy": accuracy_score(truth, predicted),
        "balanced_accuracy": balanced_accuracy_score(truth, predicted),
        "log_loss": log_loss(truth, probabilities.clip(LEAST_PROBABILITY), labels=classes),
        "brier": brier_score_loss(truth, probabilities, labels=classes, scale_by_half=False),
        "ece": calibration_error(truth, probabilities),
        **_of_tumors(answers, truth, predicted),
    }


def mean_of_known(values: np.ndarray) -> float:
    """Return the mean of the values that are a number."""
    known = values[~np.isnan(values)]
    return known.mean() if len(known) else np.nan


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the expected calibration error bin by bin."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    error = 0.0
    for index in range(CONFIDENCE_BINS):
        low, high = index / CONFIDENCE_BINS, (index + 1) / CONFIDENCE_BINS
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    return error


def _of_tumors(answers: Answers, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    if NO_TUMOR not in answers.labels:
        return {"tumor_sensitivity": np.nan, "tumor_specificity": np.nan}
    actual, found = (values != answers.labels.index(NO_TUMOR) for values in (truth, predicted))
    return {
        "tumor_sensitivity": recall_score(actual, found, zero_division=np.nan),
        "tumor_specificity": recall_score(~actual, ~found, zero_division=np.nan),
    }
