"""What a model's answers are worth, on the whole and for each label, with intervals.

Point values are scikit-learn's. The intervals are percentiles over groups drawn with replacement
(the cluster bootstrap: Field and Welsh, 2007, doi:10.1111/j.1467-9868.2007.00593.x), because the
slices of one patient are not independent evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from tumorml.evaluation.bootstrap import ConfusionResamples, resample_confusions

WHOLE = "all"


@dataclass(frozen=True, slots=True)
class Metric:
    """One number about one slice, resting on ``scans`` scans.

    Attributes:
        value: None where the slice cannot answer (for instance, no scan of a label).
        low: Lower end of the 95 % interval, or None where none is computed.
        high: Upper end of it.
    """

    metric: str
    slice: str
    value: float | None
    low: float | None
    high: float | None
    scans: int


def score(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    groups: Sequence[str],
    labels: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Metric]:
    """Every metric of one model on one set of scans.

    Args:
        truth: [n], class indices.
        probabilities: [n, classes], rows sum to one.
        groups: n group ids; resampled whole.
        labels: The classes' names.
        resamples: Bootstrap resamples.
        seed: Of the bootstrap.

    Returns:
        ``accuracy`` and macro means on the slice ``all``; ``precision``, ``recall``, ``f1`` and
        ``roc_auc`` (one against the rest) on ``label=...``; ``confusion`` counts on
        ``true=... predicted=...``.
    """
    predicted = probabilities.argmax(axis=1)
    classes = np.arange(len(labels))
    total = len(truth)
    drawn = resample_confusions(truth, predicted, groups, len(labels), resamples, seed)
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=classes, zero_division=0
    )
    there = support > 0  # a class without test scans has no part in a macro mean
    areas = [_area(truth == index, probabilities[:, index]) for index in classes]
    known = [area for area in areas if area is not None]

    metrics = [
        _with_interval("accuracy", WHOLE, float(np.mean(predicted == truth)), drawn, total),
        _with_interval("precision_macro", WHOLE, float(precision[there].mean()), drawn, total),
        _with_interval("recall_macro", WHOLE, float(recall[there].mean()), drawn, total),
        _with_interval("f1_macro", WHOLE, float(f1[there].mean()), drawn, total),
        Metric(
            "roc_auc_macro",
            WHOLE,
            float(np.mean(known)) if len(known) == len(labels) else None,
            None,
            None,
            total,
        ),
    ]
    for index, label in enumerate(labels):
        where, scans = f"label={label}", int(support[index])
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
            value = float(values[index])
            metrics.append(_with_interval(name, where, value, drawn, scans, index))
        metrics.append(Metric("roc_auc", where, areas[index], None, None, scans))
    counts = confusion_matrix(truth, predicted, labels=classes)
    for row, true_label in enumerate(labels):
        for column, predicted_label in enumerate(labels):
            count = int(counts[row, column])
            where = f"true={true_label} predicted={predicted_label}"
            metrics.append(Metric("confusion", where, count, None, None, count))
    return metrics


def _area(positive: NDArray[np.bool_], probability: NDArray[np.float32]) -> float | None:
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, probability))


def _with_interval(
    name: str,
    where: str,
    value: float,
    drawn: ConfusionResamples,
    scans: int,
    index: int | None = None,
) -> Metric:
    values = getattr(drawn, name.removesuffix("_macro"))()
    if index is not None:
        values = values[:, index]
    elif values.ndim == 2:
        values = np.nanmean(values, axis=1)
    if not scans:
        return Metric(name, where, None, None, None, 0)
    low, high = np.nanquantile(values, (0.025, 0.975))
    return Metric(name, where, value, float(low), float(high), scans)
