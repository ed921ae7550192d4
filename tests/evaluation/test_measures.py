"""Metrics equal those of scikit-learn, on all scans and on resamples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from tests.factories.answers import FOUR, random_answers, scikit_learn_metrics
from tumorml.evaluation import measures
from tumorml.evaluation.bootstrap import GroupResamples
from tumorml.evaluation.measures import LABEL_METRICS, METRICS, measure, resampled
from tumorml.labels import LABELS, Task

pytestmark = [
    pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true"),
    pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one"),
    pytest.mark.filterwarnings("ignore:A single label was found"),
]

answers_strategy = st.builds(
    random_answers,
    seed=st.integers(0, 10_000),
    scans=st.integers(1, 120),
    labels=st.sampled_from([FOUR, FOUR[:2], FOUR[:3], LABELS[Task.BINARY]]),
    absent=st.sampled_from([None, 0, 1, 2]),
    tied=st.booleans(),
)


def equal(found, expected) -> bool:
    """Equal up to rounding; not a number equals not a number."""
    return bool(found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True))


@hypothesis_settings(max_examples=100, deadline=None)
@given(answers=answers_strategy)
def test_metrics_equal_those_of_scikit_learn(answers) -> None:
    found = measure(answers)
    expected = scikit_learn_metrics(answers, np.arange(len(answers.scan_ids)))
    assert set(found) == set(expected) == set(METRICS)
    for name in METRICS:
        assert equal(found[name], expected[name]), name


@hypothesis_settings(max_examples=15, deadline=None)
@given(answers=answers_strategy, per_group=st.integers(1, 4), seed=st.integers(0, 100))
def test_resampled_metrics_equal_those_of_the_drawn_scans(answers, per_group, seed) -> None:
    scans = np.arange(len(answers.scan_ids))
    groups = [f"g{index // per_group}" for index in scans]
    drawn = GroupResamples(groups, resamples=8, seed=seed)
    (found,) = resampled([answers], groups, resamples=8, seed=seed)
    for index, weights in enumerate(np.concatenate(list(drawn))):
        expected = scikit_learn_metrics(answers, np.repeat(scans, weights[drawn.member]))
        for name in METRICS:
            assert equal(found[name][index], expected[name]), name


@pytest.mark.parametrize("tied", [False, True])
def test_areas_are_exact_for_more_than_one_block(tied: bool) -> None:
    answers = random_answers(5, 3_000, tied=tied)
    groups = [f"g{index % 700}" for index in range(3_000)]
    (found,) = resampled([answers], groups, resamples=60, seed=1)
    drawn = GroupResamples(groups, resamples=60, seed=1)
    for index, weights in enumerate(np.concatenate(list(drawn))):
        if index % 20 == 0:
            scans = np.repeat(np.arange(3_000), weights[drawn.member])
            expected = scikit_learn_metrics(answers, scans)
            assert equal(found["roc_auc"][index], expected["roc_auc"])
            assert equal(found["pr_auc"][index], expected["pr_auc"])


@pytest.mark.parametrize("name", ["accuracy", "log_loss"])
def test_intervals_agree_with_scipy(name: str) -> None:
    answers = random_answers(2, 400)
    values = {
        "accuracy": (answers.predicted == answers.known_truth).astype(float),
        "log_loss": -np.log(answers.probabilities[range(400), answers.known_truth]).astype(float),
    }[name]
    scipy_result = bootstrap(
        (values,),
        np.mean,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        batch=500,
        rng=np.random.default_rng(0),
    )
    (found,) = resampled([answers], answers.scan_ids, [name], resamples=10_000, seed=0)
    interval = np.quantile(found[name], (0.025, 0.975))
    # The standard error of each end is 0.027 standard errors of the mean; counts are discrete.
    tolerance = 0.15 * scipy_result.standard_error + (1 / 400 if name == "accuracy" else 0)
    assert interval == pytest.approx(tuple(scipy_result.confidence_interval), abs=tolerance)


def test_models_share_the_resamples() -> None:
    one, other = random_answers(1, 90), random_answers(2, 90)
    groups = [f"g{index // 3}" for index in range(90)]
    together = resampled([one, other, one], groups, resamples=30, seed=4)
    (alone,) = resampled([other], groups, resamples=30, seed=4)
    for name in METRICS:
        np.testing.assert_array_equal(together[0][name], together[2][name])
        np.testing.assert_array_equal(together[1][name], alone[name])


def test_answers_about_different_scans_are_refused() -> None:
    with pytest.raises(ValueError, match="different scans"):
        resampled([random_answers(1, 9), random_answers(1, 8)], ["g"] * 9, resamples=2, seed=0)


def test_areas_are_computed_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = random_answers(1, 50)
    every = measure(answers)
    monkeypatch.delattr(measures, "Areas")
    found = measure(answers, ("f1_macro", "log_loss", "ece", "recall"))
    assert found == {name: pytest.approx(every[name]) for name in found}
    assert list(found) == ["f1_macro", "log_loss", "ece", "recall"]


def test_shapes_have_an_axis_for_labels_only() -> None:
    answers = random_answers(1, 50)
    for name, value in measure(answers).items():
        assert value.shape == ((4,) if name in LABEL_METRICS else ())
    (found,) = resampled([answers], answers.scan_ids, resamples=7, seed=0)
    for name, values in found.items():
        assert values.shape == ((7, 4) if name in LABEL_METRICS else (7,))


def test_operating_point_changes_decisions_but_no_areas() -> None:
    answers = random_answers(1, 200, labels=LABELS[Task.BINARY])
    above_threshold = answers.probabilities[:, 1] > 0.1
    moved = type(answers)(
        answers.scan_ids,
        answers.labels,
        answers.probabilities,
        above_threshold.astype(np.int64),
        answers.truth,
    )
    before, after = measure(answers), measure(moved)
    assert after["tumor_sensitivity"] > before["tumor_sensitivity"]
    assert after["tumor_specificity"] < before["tumor_specificity"]
    for name in ("roc_auc", "pr_auc", "log_loss", "brier", "ece"):
        assert equal(after[name], before[name])


def test_answers_without_truth_are_refused() -> None:
    answers = random_answers(1, 5)
    without_truth = type(answers)(answers.scan_ids, FOUR, answers.probabilities, answers.predicted)
    with pytest.raises(ValueError, match="true labels of these scans are not known"):
        measure(without_truth)
