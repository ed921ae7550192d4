"""The rules of the gate, on answers made for them."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.errors import TumorMLError
from tumorml.promotion.policy import Policy, load_policy
from tumorml.promotion.rules import Contest, apply_rules
from tumorml.settings import PROJECT_ROOT

LABELS = ("glioma", "meningioma", "no_tumor", "pituitary")


@pytest.fixture
def policy() -> Policy:
    return load_policy(PROJECT_ROOT / "promotion.toml")


def answers(truth: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Right but where ``wrong``, and there the next label."""
    return np.where(wrong, (truth + 1) % 4, truth)


def contest(challenger_errors: float, champion_errors: float | None, scans: int = 800) -> Contest:
    generator = np.random.default_rng(5)
    truth = np.arange(scans) % 4
    draw = generator.random(scans)
    return Contest(
        LABELS,
        truth,
        [f"g{i}" for i in range(scans)],
        answers(truth, draw < challenger_errors),
        None if champion_errors is None else answers(truth, draw < champion_errors),
    )


def results(subject: Contest, policy: Policy) -> dict[tuple[str, str], str]:
    return {(rule.rule, rule.slice): rule.result for rule in apply_rules(subject, policy)}


def test_a_clearly_better_challenger_passes_every_rule(policy: Policy) -> None:
    assert set(results(contest(0.05, 0.15), policy).values()) == {"passed"}


def test_an_equal_challenger_shows_no_gain(policy: Policy) -> None:
    found = results(contest(0.10, 0.10), policy)
    assert found["f1_gain", "all"] == "failed"
    assert found["recall_non_inferiority", "label=glioma"] == "passed"


def test_better_on_the_whole_but_worse_on_glioma_fails_on_glioma(policy: Policy) -> None:
    subject = contest(0.02, 0.20)
    glioma = np.flatnonzero(subject.truth == 0)
    subject.challenger[glioma] = 0
    subject.champion[glioma] = 0  # type: ignore[index]
    subject.challenger[glioma[: len(glioma) // 5]] = 2
    found = results(subject, policy)
    assert found["f1_gain", "all"] == "passed"
    assert found["recall_non_inferiority", "label=glioma"] == "failed"


def test_the_first_model_is_held_against_floors(policy: Policy) -> None:
    assert set(results(contest(0.1, None), policy).values()) == {"passed"}
    assert results(contest(0.9, None), policy)["first_model_f1_floor", "all"] == "failed"


def test_too_few_test_groups_are_insufficient(policy: Policy) -> None:
    subject = contest(0.0, 0.5, scans=80)
    few = Contest(LABELS, subject.truth, ["g"] * 80, subject.challenger, subject.champion)
    assert results(few, policy)["evidence", "label=glioma"] == "insufficient"


def test_a_rule_carries_its_numbers(policy: Policy) -> None:
    gain = next(r for r in apply_rules(contest(0.05, 0.15), policy) if r.rule == "f1_gain")
    assert gain.low is not None and gain.high is not None and gain.difference is not None
    assert gain.threshold == 0 < gain.low < gain.difference < gain.high
    assert gain.scans == gain.groups == 800


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("confidence = 2", "confidence"),
        ("confidence = ", "not TOML"),
        ("unknown = 1", "unknown"),
    ],
)
def test_a_wrong_policy_is_named(tmp_path, text: str, reason: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(TumorMLError, match=reason) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
