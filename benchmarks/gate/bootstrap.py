"""Speed of resampled metrics, compared with calling scikit-learn for each resample.

Both methods compute all of ``METRICS`` for two models on resamples of the same groups. The loop
with scikit-learn is timed on 40 resamples, and its time is scaled to 2,000. The loop calls each
function of scikit-learn once and omits metrics that follow from others (macro means, tumor rates).
Peak memory is measured for ``resampled`` only, which runs first.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from tumorml.evaluation.answers import Answers
from tumorml.evaluation.bootstrap import GroupResamples
from tumorml.evaluation.measures import CONFIDENCE_BINS, METRICS, confidence_bins, resampled
from tumorml.labels import LABELS, Task
from tumorml.memory import peak_memory_bytes

SCANS, GROUPS, RESAMPLES = 10_000, 5_000, 2_000
LOOPED = 40
REPEATS = 3
TARGET = 50

_CLASSES = LABELS[Task.FOUR_CLASS]


def random_answers(truth: NDArray[np.int64], skill: float, seed: int) -> Answers:
    """Return the answers of a simulated model; its accuracy increases with `skill`."""
    logits = np.random.default_rng(seed).normal(size=(len(truth), len(_CLASSES)))
    logits += skill * np.eye(len(_CLASSES))[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scan_ids = [str(index) for index in range(len(truth))]
    return Answers(
        scan_ids, _CLASSES, probabilities.astype(np.float32), probabilities.argmax(axis=1), truth
    )


def scikit_learn_metrics(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> None:
    """Compute every metric of one resample with scikit-learn."""
    classes = list(range(len(_CLASSES)))
    accuracy_score(truth, predicted)
    precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    confusion_matrix(truth, predicted, labels=classes)
    for index in classes:
        roc_auc_score(truth == index, probabilities[:, index])
        average_precision_score(truth == index, probabilities[:, index])
    log_loss(truth, probabilities, labels=classes)
    brier_score_loss(truth, probabilities, labels=classes)
    confidence, bins = confidence_bins(probabilities)
    gaps = (probabilities.argmax(axis=1) == truth) - confidence
    np.abs(np.bincount(bins, gaps, minlength=CONFIDENCE_BINS)).sum()


def resample_with_scikit_learn(models: list[Answers], groups: list[str]) -> None:
    """Compute the metrics of ``LOOPED`` resamples with scikit-learn, one after the other."""
    drawn = GroupResamples(groups, resamples=LOOPED, seed=0)
    for weights in (row for block in drawn for row in block):
        scans = np.repeat(np.arange(SCANS), weights[drawn.member])
        for answers in models:
            scikit_learn_metrics(
                answers.known_truth[scans], answers.predicted[scans], answers.probabilities[scans]
            )


def medians(work: Callable[[], object]) -> tuple[float, float]:
    """Return median wall-clock time and processor time, in seconds."""
    clock, processor = [], []
    for _ in range(REPEATS):
        started, before = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - before)
    return statistics.median(clock), statistics.median(processor)


def main() -> None:
    """Measure both methods and print their ratio."""
    truth = np.random.default_rng(0).integers(0, len(_CLASSES), SCANS)
    groups = [str(index % GROUPS) for index in range(SCANS)]
    models = [random_answers(truth, skill, seed) for seed, skill in enumerate((2.0, 2.5))]
    before = peak_memory_bytes() / 2**20
    package_time, package_cpu = medians(
        lambda: resampled(models, groups, resamples=RESAMPLES, seed=0)
    )
    peak = peak_memory_bytes() / 2**20
    loop_time, loop_cpu = (
        RESAMPLES / LOOPED * time
        for time in medians(lambda: resample_with_scikit_learn(models, groups))
    )
    print(
        f"{RESAMPLES:,} resamples of {SCANS:,} scans in {GROUPS:,} groups, "
        f"{len(models)} models, {len(METRICS)} metrics; medians of {REPEATS}\n"
        f"  resampled:    {package_time:.2f} s, processor {package_cpu:.2f} s, "
        f"peak {peak:.0f} MiB ({before:.0f} before)\n"
        f"  scikit-learn: {loop_time:.0f} s, processor {loop_cpu:.0f} s, "
        f"scaled from {LOOPED} resamples\n"
        f"  ratio: {loop_time / package_time:.0f}, processor {loop_cpu / package_cpu:.0f}; "
        f"the target is {TARGET}"
    )


if __name__ == "__main__":
    main()
