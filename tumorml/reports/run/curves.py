"""ROC and precision-recall curves of each label against all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from tumorml.evaluation.answers import Answers
from tumorml.reports.render.plots import LabelCurves

CURVE_POINTS = 400
"""Largest number of points kept of a curve; more are not visible on a page."""


def label_curves(answers: Answers) -> tuple[LabelCurves, ...]:
    """Compute the curves of each label that some scans have and others do not."""
    curves = []
    for index, label in enumerate(answers.labels):
        has_label = answers.known_truth == index
        if not has_label.any() or has_label.all():
            continue
        scores = answers.probabilities[:, index]
        false_positive_rate, true_positive_rate, _ = roc_curve(has_label, scores)
        precision, recall, _ = precision_recall_curve(has_label, scores)
        curves.append(
            LabelCurves(
                label,
                int(has_label.sum()),
                *_thin(false_positive_rate, true_positive_rate),
                *_thin(recall, precision),
            )
        )
    return tuple(curves)


def _thin(*columns: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Keep at most ``CURVE_POINTS`` evenly spread points, including both ends."""
    points = len(columns[0])
    kept = np.unique(np.linspace(0, points - 1, min(points, CURVE_POINTS)).round().astype(int))
    return [column[kept] for column in columns]
