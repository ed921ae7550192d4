"""Metrics agree with scikit-learn, resample by resample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from tumorml.evaluation.bootstrap import resample_confusions
from tumorml.evaluation.metrics import score

LABELS = ("a", "b", "c")


def answers(seed: int, scans: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, scans)
    logits = generator.normal(size=(scans, 3)) + 1.5 * np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truth, probabilities.astype(np.float32), [f"g{i // 3}" for i in range(scans)]


@hypothesis_settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scans=st.integers(30, 200))
def test_point_values_are_those_of_scikit_learn(seed: int, scans: int) -> None:
    truth, probabilities, groups = answers(seed, scans)
    predicted = probabilities.argmax(axis=1)
    found = {
        (m.metric, m.slice): m.value
        for m in score(truth, probabilities, groups, LABELS, resamples=200)
    }
    kwargs = {"labels": [0, 1, 2], "average": "macro", "zero_division": 0}
    assert found["accuracy", "all"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["f1_macro", "all"] == pytest.approx(f1_score(truth, predicted, **kwargs))
    assert found["recall_macro", "all"] == pytest.approx(recall_score(truth, predicted, **kwargs))
    assert found["precision_macro", "all"] == pytest.approx(
        precision_score(truth, predicted, **kwargs)
    )
    if len(set(truth)) == 3:
        assert found["roc_auc", "label=b"] == pytest.approx(
            roc_auc_score(truth == 1, probabilities[:, 1])
        )
    total = sum(v for (metric, _), v in found.items() if metric == "confusion")
    assert total == scans


def test_each_resample_gives_the_metrics_of_the_scans_it_drew() -> None:
    truth, probabilities, groups = answers(3, 60)
    predicted = probabilities.argmax(axis=1)
    drawn = resample_confusions(truth, predicted, groups, 3, resamples=25, seed=9)
    generator = np.random.default_rng(9)
    names, member = np.unique(groups, return_inverse=True)
    picks = generator.integers(0, len(names), size=(25, len(names)))
    for index, pick in enumerate(picks):
        chosen = np.concatenate([np.flatnonzero(member == group) for group in pick])
        assert drawn.accuracy()[index] == pytest.approx(
            accuracy_score(truth[chosen], predicted[chosen])
        )
        there = np.isin([0, 1, 2], truth[chosen])
        options = {"labels": [0, 1, 2], "average": None, "zero_division": 0}
        for ours, theirs in ((drawn.f1(), f1_score), (drawn.precision(), precision_score)):
            expected = theirs(truth[chosen], predicted[chosen], **options)
            assert ours[index][there] == pytest.approx(expected[there])
            assert np.isnan(ours[index][~there]).all()


def test_an_interval_is_wider_when_the_scans_of_a_group_agree() -> None:
    truth = np.zeros(300, dtype=np.int64)
    probabilities = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (300, 1))
    probabilities[np.arange(300) % 30 < 10] = (0.1, 0.9)
    grouped = score(truth, probabilities, [f"g{i // 10}" for i in range(300)], ("a", "b"))[0]
    single = score(truth, probabilities, [f"g{i}" for i in range(300)], ("a", "b"))[0]
    assert grouped.high - grouped.low > 2 * (single.high - single.low)


def test_a_rare_class_that_a_resample_misses_does_not_count_as_failed() -> None:
    truth = np.repeat(np.array([0, 1]), (60, 6))
    probabilities = np.eye(2, dtype=np.float32)[truth] * 0.8 + 0.1
    groups = [f"g{i // 3}" for i in range(66)]  # two groups of the rare class
    found = {(m.metric, m.slice): m for m in score(truth, probabilities, groups, ("a", "b"))}
    for metric in ("f1_macro", "recall_macro", "precision_macro"):
        assert (found[metric, "all"].low, found[metric, "all"].high) == (1.0, 1.0)
    assert found["recall", "label=b"].low == 1.0


def test_a_label_without_scans_has_no_number() -> None:
    truth = np.zeros(20, dtype=np.int64)
    probabilities = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (20, 1))
    found = {(m.metric, m.slice): m for m in score(truth, probabilities, ["g"] * 20, ("a", "b"))}
    assert found["recall", "label=b"].value is None
    assert found["roc_auc_macro", "all"].value is None
