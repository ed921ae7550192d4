"""The rules of the gate, on answers made for them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from tests.factories.runs import NAMES, forgiving, made_answers
from tumorml.errors import TumorMLError
from tumorml.evaluation.answers import Answers
from tumorml.policy import Policy, load_policy
from tumorml.promotion.contest import Contest, GoldenCheck
from tumorml.promotion.paired import Change, change_of_share
from tumorml.promotion.rules import RuleResult, apply_rules, outcome_of
from tumorml.settings import PROJECT_ROOT

GOLDEN = GoldenCheck(16, largest_difference=1e-6, latency_ms=20.0)


@pytest.fixture
def policy() -> Policy:
    packaged = load_policy(PROJECT_ROOT / "promotion.toml")
    floors = packaged.floors.model_copy(update={"max_calibration_error": 1.0})
    return packaged.model_copy(update={"resamples": 400, "floors": floors})


def contest(challenger_errors: float, champion_errors: float | None, scans: int = 4000) -> Contest:
    """Every scan a group of its own; an answer is right, or else the next label."""
    truth = np.arange(scans) % 4
    draw = np.random.default_rng(5).random(scans)
    names = [str(index) for index in range(scans)]

    def answers(errors: float) -> Answers:
        return made_answers(names, truth, np.where(draw < errors, (truth + 1) % 4, truth))

    return Contest(
        groups=names,
        challenger=answers(challenger_errors),
        champion=None if champion_errors is None else answers(champion_errors),
        anchor=None,
        slices={},
        leaking=0,
        golden=GOLDEN,
        given_split=False,
    )


def with_wrong(answers: Answers, label: int, share: int, called: int) -> Answers:
    """Right about a label, but for one scan in ``share`` of it, which is ``called`` otherwise."""
    assert answers.truth is not None
    of_label = np.flatnonzero(answers.truth == label)
    predicted = answers.predicted.copy()
    predicted[of_label] = label
    predicted[of_label[::share]] = called
    return made_answers(list(answers.scan_ids), answers.truth, predicted)


def rule(results: list[RuleResult], name: str, where: str = "all") -> RuleResult:
    return next(row for row in results if (row.rule, row.slice) == (name, where))


def test_a_clearly_better_challenger_passes_every_rule(policy: Policy) -> None:
    results = apply_rules(contest(0.05, 0.15), policy)
    assert {row.result for row in results} == {"passed"}
    assert outcome_of(results, first=False)[0] == "promoted"


def test_an_equal_challenger_shows_no_gain_and_loses_nothing(policy: Policy) -> None:
    results = apply_rules(contest(0.10, 0.10), policy)
    assert {row.rule for row in results if row.result == "failed"} == {
        "gain_f1_macro",
        "gain_mcnemar",
    }
    outcome, reason = outcome_of(results, first=False)
    assert outcome == "kept" and "macro F1 0.8900 -> 0.8900" in reason


def test_a_change_is_told_with_its_bound_and_how_sure_that_is(policy: Policy) -> None:
    results = apply_rules(contest(0.05, 0.15), policy)
    for row in results:
        if row.confidence is None:
            continue
        assert row.low is not None and row.high is not None
        told = re.search(
            r"a change of (\S+), at (\w+) (\S+) with (\S+) % confidence", row.explanation
        )
        assert told is not None
        bound = row.low if told[2] == "least" else row.high
        assert float(told[1]) == pytest.approx(row.difference, abs=0.00005)
        assert float(told[3]) == pytest.approx(bound, abs=0.00005)
        assert float(told[4]) == pytest.approx(100 * row.confidence)
    gains = [row for row in results if row.rule.startswith("gain_")]
    alpha = policy.looks.alpha / policy.looks.budget / len(gains)
    assert {row.confidence for row in gains} == {1 - alpha}


def test_one_kind_of_evidence_is_enough_and_the_reason_names_it(policy: Policy) -> None:
    subject = contest(0.02, 0.02)
    surer = replace(subject.challenger, probabilities=subject.challenger.probabilities.copy())
    right = subject.challenger.predicted == subject.truth
    surer.probabilities[right] = 0.002
    surer.probabilities[np.flatnonzero(right), subject.truth[right]] = 0.994
    gain = policy.gain.model_copy(update={"evidence": ("f1_macro", "log_loss")})
    asked = policy.model_copy(update={"gain": gain})
    results = apply_rules(replace(subject, challenger=surer), asked)
    assert rule(results, "gain_f1_macro").result == "failed"
    assert rule(results, "gain_log_loss").result == "passed"
    assert outcome_of(results, first=False)[1].startswith("gain_log_loss: log-loss")


def test_mcnemars_test_counts_each_group_once(policy: Policy) -> None:
    gain = policy.gain.model_copy(update={"evidence": ("mcnemar",)})
    subject = contest(0.05, 0.10)
    found = rule(apply_rules(subject, policy.model_copy(update={"gain": gain})), "gain_mcnemar")
    assert found.result == "passed" and found.p_value is not None and found.p_value < 1e-9
    one_group = replace(subject, groups=["all of them"] * len(subject.groups))
    found = rule(apply_rules(one_group, policy.model_copy(update={"gain": gain})), "gain_mcnemar")
    assert found.result == "failed" and found.p_value == 0.5


def test_better_on_the_whole_but_worse_on_glioma_fails_on_glioma(policy: Policy) -> None:
    subject = contest(0.02, 0.20)
    assert subject.champion is not None
    glioma, meningioma = NAMES.index("glioma"), NAMES.index("meningioma")
    subject = replace(
        subject,
        challenger=with_wrong(subject.challenger, glioma, 10, meningioma),
        champion=with_wrong(subject.champion, glioma, 50, meningioma),
    )
    results = apply_rules(subject, policy)
    assert rule(results, "gain_f1_macro").result == "passed"
    assert rule(results, "recall_non_inferiority", "label=glioma").result == "failed"
    assert rule(results, "missed_tumor_non_inferiority").result == "passed"
    assert outcome_of(results, first=False)[0] == "kept"


def test_tumours_called_none_have_a_margin_of_their_own(policy: Policy) -> None:
    subject = contest(0.02, 0.20)
    assert subject.champion is not None
    glioma, none = NAMES.index("glioma"), NAMES.index("no_tumor")
    lenient = policy.non_inferiority.model_copy(update={"tumor_recall_margin_points": 100.0})
    subject = replace(
        subject,
        challenger=with_wrong(subject.challenger, glioma, 8, none),
        champion=with_wrong(subject.champion, NAMES.index("meningioma"), 50, glioma),
    )
    results = apply_rules(subject, policy.model_copy(update={"non_inferiority": lenient}))
    assert rule(results, "recall_non_inferiority", "label=glioma").result == "passed"
    assert rule(results, "missed_tumor_non_inferiority").result == "failed"


def test_a_small_test_set_is_insufficient_even_when_no_answer_changed(policy: Policy) -> None:
    results = apply_rules(contest(0.0, 0.0, scans=200), policy)
    glioma = rule(results, "recall_non_inferiority", "label=glioma")
    assert glioma.result == "insufficient"
    assert glioma.low is not None and glioma.low < 0 == glioma.difference
    assert outcome_of(results, first=False)[0] == "insufficient"


def test_a_large_gain_passes_on_a_small_test_set(policy: Policy) -> None:
    results = apply_rules(contest(0.02, 0.60, scans=200), policy)
    assert outcome_of(results, first=False)[0] == "promoted"


def test_worse_calibration_fails(policy: Policy) -> None:
    subject = contest(0.05, 0.10)
    boastful = subject.challenger.probabilities.copy()
    boastful[np.arange(len(boastful)), subject.challenger.predicted] = 1.0
    surer = replace(subject.challenger, probabilities=boastful)
    timid = contest(0.05, 0.06)  # 94 % sure, and right as often
    results = apply_rules(replace(timid, challenger=surer), policy)
    assert rule(results, "calibration_non_inferiority").result == "failed"


def test_a_slice_that_is_clearly_worse_fails_and_a_small_one_is_not_judged(policy: Policy) -> None:
    subject = contest(0.05, 0.10)
    assert subject.champion is not None
    site = np.arange(4000) < 400
    predicted = subject.challenger.predicted.copy()
    predicted[:400:2] = (subject.truth[:400:2] + 1) % 4
    worse = made_answers(list(subject.groups), subject.truth, predicted)
    slices = {"site=north": site, "site=tiny": np.arange(4000) < 40}
    results = apply_rules(replace(subject, challenger=worse, slices=slices), policy)
    assert rule(results, "slice_not_worse", "site=north").result == "failed"
    assert not [row for row in results if row.slice == "site=tiny"]


def test_the_first_model_is_asked_for_integrity_and_floors_alone(policy: Policy) -> None:
    results = apply_rules(contest(0.1, None), policy)
    assert {row.rule for row in results} == {
        "leak_check",
        "golden_scans",
        "golden_latency",
        "f1_floor",
        "recall_floor",
        "calibration_ceiling",
    }
    assert outcome_of(results, first=True) == (
        "promoted",
        "the first model: floors and golden scans only, and it passed them",
    )
    assert outcome_of(apply_rules(contest(0.9, None), policy), first=True)[0] == "rejected"


@pytest.mark.parametrize("scans", [3, 4, 28])
def test_too_few_test_scans_of_a_label_are_insufficient(policy: Policy, scans: int) -> None:
    subject = contest(0.0, None, scans=scans)
    assert outcome_of(apply_rules(subject, policy), first=True)[0] == "insufficient"


def test_more_agreement_makes_a_smaller_error_and_groups_a_larger_one() -> None:
    generator = np.random.default_rng(2)
    old = generator.random(600) < 0.9
    few, many = (np.where(generator.random(600) < share, ~old, old) for share in (0.01, 0.2))
    alone = [str(index) for index in range(600)]
    assert (
        change_of_share(few, old, alone, resamples=500).standard_error
        < change_of_share(many, old, alone, resamples=500).standard_error
    )
    changed = np.where(np.arange(600) < 60, False, True)
    whole = [str(index // 30) for index in range(600)]
    grouped, single = (
        change_of_share(changed, np.ones(600, bool), groups, resamples=500)
        for groups in (whole, alone)
    )
    assert grouped.standard_error > 3 * single.standard_error


@pytest.mark.parametrize("count", [80, 120, 200, 500])
@pytest.mark.parametrize("size", [1, 3])
def test_a_loss_of_the_margin_passes_in_one_look_of_twenty(count: int, size: int) -> None:
    """Exactly: whole groups are lost, nothing is won, and the bound is asked for each number."""
    groups = [str(index // size) for index in range(count * size)]
    old = np.ones(len(groups), bool)

    def passes(lost: int) -> bool:
        new = np.arange(len(groups)) >= lost * size
        return change_of_share(new, old, groups, resamples=2000).low(0.95) >= -0.025

    allowed = next(lost for lost in range(count) if not passes(lost)) - 1
    assert binom.cdf(allowed, count, 0.025) <= 0.06


def test_no_change_in_few_groups_does_not_rule_out_a_loss_and_in_many_it_does() -> None:
    for count in (40, 80, 110, 130, 300):
        groups = [str(index) for index in range(count)]
        old = np.ones(count, bool)
        change = change_of_share(old, old, groups, resamples=2000)
        passed = change.low(0.95) >= -0.025
        assert passed == (count > 120)
        assert change.cannot_rule_out(0.025, 0.95) == (not passed)


def test_more_groups_won_than_lost_is_no_gain_where_the_lost_ones_weigh_as_much(
    policy: Policy,
) -> None:
    """The challenger wins one scan of many patients, and loses all scans of a few."""
    subject = contest(0.10, 0.10, scans=3000)
    old = np.arange(3000) % 3 == 0  # the champion is wrong about one scan of each
    new = old.copy()
    new[:360] = False  # 120 patients won by one scan
    new[-180:] = True  # 60 lost by two
    wrong, right = (subject.truth + 1) % 4, subject.truth
    names = list(subject.challenger.scan_ids)
    subject = replace(
        subject,
        groups=[str(index // 3) for index in range(3000)],
        challenger=made_answers(names, right, np.where(new, wrong, right)),
        champion=made_answers(names, right, np.where(old, wrong, right)),
    )
    found = rule(apply_rules(subject, policy), "gain_mcnemar")
    assert found.p_value is not None and found.p_value < 1e-5
    assert found.result == "failed"


def test_a_large_group_that_is_won_is_no_doubt_about_losses() -> None:
    groups = ["crowd"] * 100 + [str(index) for index in range(200)]
    old = np.arange(300) >= 60
    change = change_of_share(np.ones(300, bool), old, groups, resamples=400)
    assert change.low(0.95) > -0.02


def test_few_groups_make_a_longer_reach() -> None:
    few, many = (Change(0.9, 0.9, 0.01, groups) for groups in (4, 4000))
    assert few.low(0.95) == pytest.approx(-0.01 * 2.353, rel=1e-3)
    assert many.low(0.95) == pytest.approx(-0.01 * 1.645, rel=1e-3)


def test_a_single_group_is_no_evidence_of_a_gain(policy: Policy) -> None:
    subject = replace(contest(0.05, 0.15), groups=["one"] * 4000)
    gain = rule(apply_rules(subject, policy), "gain_f1_macro")
    assert (gain.result, gain.low) == ("failed", None)


def test_a_slow_model_is_not_promoted_but_its_numbers_are_believed(policy: Policy) -> None:
    slow = GoldenCheck(16, largest_difference=1e-6, latency_ms=5000.0)
    results = apply_rules(replace(contest(0.05, 0.15), golden=slow), policy)
    assert outcome_of(results, first=False) == (
        "kept",
        "golden_latency: 5000 ms a scan, 1000 ms are allowed",
    )


def test_a_rule_carries_its_numbers(policy: Policy) -> None:
    gain = rule(apply_rules(contest(0.05, 0.15), policy), "gain_f1_macro")
    assert gain.low is not None and gain.high is not None and gain.difference is not None
    assert gain.threshold == 0 < gain.low < gain.difference < gain.high
    assert gain.scans == gain.groups == 4000
    # 0.05 over 20 looks and two kinds of evidence
    assert gain.confidence == pytest.approx(1 - 0.05 / 40)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("resamples = 2", "resamples"),
        ("resamples = ", "not TOML"),
        ("unknown = 1", "unknown"),
        ('[gain]\nevidence = ["luck"]', "evidence"),
        ('[gain]\nevidence = ["mcnemar", "mcnemar"]', "named once"),
        ("[golden]\ntolerance = inf", "golden.tolerance"),
        ("[approval]\ntimeout_hours = 1e11", "approval.timeout_hours"),
        ('[slices]\nby = ["patient_id"]', "patient_id"),
    ],
)
def test_a_wrong_policy_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(TumorMLError, match=reason) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)


def test_resamples_that_cannot_resolve_the_confidence_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TumorMLError, match="so few resamples have no percentile"):
        load_policy(forgiving(tmp_path, confidence=0.999))


def test_a_changed_number_of_the_policy_changes_its_checksum(tmp_path: Path) -> None:
    packaged = load_policy(PROJECT_ROOT / "promotion.toml")
    assert load_policy(forgiving(tmp_path)).sha256 != packaged.sha256
