"""All metrics of a model, as values and for bootstrap resamples.

A metric is a function of weights; a weight is the number of times that a group of scans counts.
Weights of one give the value, and drawn weights give a resample. Counts and sums over scans are
linear in the weights, so one matrix product computes them for all resamples. The module ``areas``
computes areas under curves.

=====================  ============================================================================
accuracy               Share of scans with the right prediction.
precision, recall, f1  Of a class; precision is 0 if no scan is predicted to be of a class that has
                       scans. ``..._macro`` are means over the classes that have scans.
balanced_accuracy      Mean recall; scikit-learn's name for ``recall_macro``.
specificity            Of a class: the share of the other scans not predicted to be of it.
roc_auc, pr_auc        Of a class against the rest: area under the ROC curve, average precision.
log_loss               Mean of -ln p; p is the probability of the true class, at least 1e-7.
brier                  Mean of the squared error summed over classes, 0 to 2 (Brier, 1950,
                       doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
ece                    Expected calibration error: mean of ``|share right - confidence|`` over the
                       bins of ``confidence_bins``, weighted by their scans (Guo et al., 2017,
                       arXiv:1706.04599).
tumor_sensitivity      Of the scans with a tumor, the share not predicted ``no_tumor``.
tumor_specificity      Of the scans without a tumor, the share predicted ``no_tumor``.
=====================  ============================================================================

The metrics from accuracy to specificity and the last two use ``Answers.predicted``; ``ece`` uses
the most probable class. A metric is not a number (NaN) where it is not defined: for a class without
scans, for areas also if all scans are of the class, and for the last two without the label
``no_tumor``. The macro areas are NaN unless the area of every class is defined for all scans; a
resample then averages over the classes that it contains.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tumorml.evaluation.answers import Answers
from tumorml.evaluation.areas import Areas
from tumorml.evaluation.bootstrap import GroupResamples
from tumorml.labels import NO_TUMOR

Values = NDArray[np.float64]

LABEL_METRICS = ("precision", "recall", "specificity", "f1", "roc_auc", "pr_auc")
OVERALL_METRICS = (
    "accuracy",
    "balanced_accuracy",
    *(f"{name}_macro" for name in LABEL_METRICS),
    "log_loss",
    "brier",
    "ece",
    "tumor_sensitivity",
    "tumor_specificity",
)
METRICS = (*OVERALL_METRICS, *LABEL_METRICS)

CONFIDENCE_BINS = 15
LEAST_PROBABILITY = 1e-7

_AREAS = {"roc_auc", "pr_auc", "roc_auc_macro", "pr_auc_macro"}


def measure(answers: Answers, names: Collection[str] = METRICS) -> dict[str, Values]:
    """Compute metrics of one model on the scans it answered.

    Args:
        answers: Answers with their truth.
        names: Names of metrics.

    Returns:
        float64 [] by name, or [classes] for the names in ``LABEL_METRICS``.

    Raises:
        ValueError: The truth is not known.
    """
    one_group = np.zeros(len(answers.predicted), np.int64)
    metrics = _Measures(answers, one_group, 1).compute(np.ones((1, 1), np.uint8), names)
    return {name: values.reshape(values.shape[1:]) for name, values in metrics.items()}


def resampled(
    contenders: Sequence[Answers],
    groups: Sequence[str],
    names: Collection[str] = METRICS,
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Values]]:
    """Compute metrics of models on the same resamples, so that their differences are paired.

    Args:
        contenders: Answers of each model about the same n scans in the same order, with their
            truth.
        groups: n group ids; a resample draws groups, each with all of its scans.
        names: Names of metrics; others are not computed.
        resamples: Number of resamples.
        seed: Equal seeds and groups give equal resamples.

    Returns:
        For each model, float64 [resamples] by name, or [resamples, classes] for the names in
        ``LABEL_METRICS``.

    Raises:
        ValueError: The models answered about different scans, or the truth is not known.
    """
    if any(list(one.scan_ids) != list(contenders[0].scan_ids) for one in contenders):
        raise ValueError("contenders answered about different scans")
    drawn = GroupResamples(groups, resamples=resamples, seed=seed)
    prepared = [_Measures(one, drawn.member, drawn.count) for one in contenders]
    blocks = [[one.compute(weights, names) for one in prepared] for weights in drawn]
    return [
        {name: np.concatenate([block[index][name] for block in blocks]) for name in names}
        for index in range(len(contenders))
    ]


def confidence_bins(probabilities: NDArray[np.float32]) -> tuple[Values, NDArray[np.int64]]:
    """Return the highest probability of each scan and its bin.

    Args:
        probabilities: float32 [n, classes].

    Returns:
        The confidence, float64 [n], and the index of its bin, int64 [n]. Bin i holds confidences
        above i / ``CONFIDENCE_BINS`` and up to (i + 1) / ``CONFIDENCE_BINS``, inclusive.
    """
    confidence = probabilities.max(axis=1, initial=0).astype(np.float64)
    bins = np.ceil(confidence * CONFIDENCE_BINS).astype(np.int64) - 1
    return confidence, bins.clip(0, CONFIDENCE_BINS - 1)


class _Measures:
    """Sums over the scans of each group, from which metrics follow for any weights of groups."""

    def __init__(self, answers: Answers, member: NDArray[np.int64], groups: int) -> None:
        truth, scores = answers.known_truth, answers.probabilities
        self._truth, self._scores, self._member = truth, scores, member
        self._classes = len(answers.labels)
        self._no_tumor = answers.labels.index(NO_TUMOR) if NO_TUMOR in answers.labels else None
        probabilities = scores.astype(np.float64)
        probability_of_truth = np.take_along_axis(probabilities, truth[:, None], axis=1)[:, 0]
        squares = np.square(probabilities).sum(axis=1) - 2 * probability_of_truth + 1
        confidence, bins = confidence_bins(scores)
        cells = self._classes**2
        self._sums = np.zeros((groups, cells + 2 + CONFIDENCE_BINS))
        np.add.at(self._sums, (member, truth * self._classes + answers.predicted), 1)
        losses = -np.log(np.maximum(probability_of_truth, LEAST_PROBABILITY))
        self._sums[:, cells] = np.bincount(member, losses, minlength=groups)
        self._sums[:, cells + 1] = np.bincount(member, squares, minlength=groups)
        gaps = (scores.argmax(axis=1) == truth) - confidence
        np.add.at(self._sums, (member, cells + 2 + bins), gaps)

    def compute(self, weights: NDArray[np.uint8], names: Collection[str]) -> dict[str, Values]:
        """Compute metrics for weights, uint8 [b, groups]: float64 [b], or [b, classes]."""
        cells = self._classes**2
        sums = weights.astype(np.float64) @ self._sums
        confusion = sums[:, :cells].reshape(-1, self._classes, self._classes)
        scans = confusion.sum(axis=(1, 2))
        found = self._compute_from_decisions(confusion) | {
            "log_loss": _ratio(sums[:, cells], scans),
            "brier": _ratio(sums[:, cells + 1], scans),
            "ece": _ratio(np.abs(sums[:, cells + 2 :]).sum(axis=1), scans),
        }
        if not _AREAS.isdisjoint(names):
            found |= self._compute_areas(weights)
        return {name: found[name] for name in names}

    def _compute_from_decisions(self, confusion: Values) -> dict[str, Values]:
        hits = np.diagonal(confusion, axis1=1, axis2=2)
        actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
        scans = actual.sum(axis=1)
        others = scans[:, None] - actual
        present = np.where(actual > 0, 1.0, np.nan)  # NaN for a class without drawn scans
        found = {
            "precision": _ratio(hits, predicted, default=0) * present,
            "recall": _ratio(hits, actual),
            "specificity": _ratio(others - predicted + hits, others) * present,
            "f1": _ratio(2 * hits, actual + predicted) * present,
        }
        found |= {f"{name}_macro": _mean(values) for name, values in found.items()}
        found["accuracy"] = _ratio(hits.sum(axis=1), scans)
        found["balanced_accuracy"] = found["recall_macro"]
        found["tumor_sensitivity"] = found["tumor_specificity"] = np.full(len(scans), np.nan)
        if self._no_tumor is not None:
            column = self._no_tumor
            tumors, missed = others[:, column], predicted[:, column] - hits[:, column]
            found["tumor_sensitivity"] = _ratio(tumors - missed, tumors)
            found["tumor_specificity"] = found["recall"][:, column]
        return found

    def _compute_areas(self, weights: NDArray[np.uint8]) -> dict[str, Values]:
        both = np.stack([area.compute(weights) for area in self._areas], axis=-1)
        all_defined = 1.0 if all(area.is_defined for area in self._areas) else np.nan
        found = dict(zip(("roc_auc", "pr_auc"), both, strict=True))
        return found | {
            f"{name}_macro": _mean(values) * all_defined for name, values in found.items()
        }

    @cached_property
    def _areas(self) -> list[Areas]:
        return [
            Areas(self._truth == index, self._scores[:, index], self._member)
            for index in range(self._classes)
        ]


def _ratio(part: Values, total: Values, *, default: float = np.nan) -> Values:
    """Return ``part / total``, or ``default`` where the total is 0."""
    return np.divide(part, total, out=np.full_like(total, default), where=total > 0)


def _mean(values: Values) -> Values:
    """Return the means of [b, classes] over the classes with a number: [b]."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))
