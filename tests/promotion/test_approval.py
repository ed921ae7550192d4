"""What a person is asked about a winner, and what the answer does, in the results store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from tests.factories.verdicts import told, winner
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.policy import load_policy
from tumorml.promotion.approval import approval_request, find_verdict, record_approval
from tumorml.promotion.champion import champions
from tumorml.promotion.promote import promote
from tumorml.results.session import read_session
from tumorml.results.tables import Champion, Verdict
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS


def test_a_person_is_told_why_and_sees_every_rule(settings: Settings) -> None:
    request = approval_request(settings, winner(settings, "a"))
    assert request is not None
    assert request["subject"] == "Shall m-a become champion of four_class?"
    body = request["body"]
    assert "the policy requires approval of every winner" in body
    assert "it reached every floor" in body
    assert "| recall_floor | label=glioma | passed | recall 0.900, the floor is 0.400 |" in body
    assert str(settings.home / "objects/runs/r-a/report.html") in body
    assert "where verdict_id = 'v-a'" in body
    hours = load_policy(settings.promotion_policy).approval.timeout_hours
    assert f"No answer within {hours:g} hours is a no" in body


def test_what_a_manifest_says_cannot_break_the_table_of_rules(settings: Settings) -> None:
    request = approval_request(settings, winner(settings, "a"))
    assert request is not None
    assert "| slice_recall | site=north \\| south wing | passed | no worse |" in request["body"]


@pytest.mark.parametrize("approval", [None, "approved", "rejected"])
def test_nobody_is_asked_about_a_verdict_that_does_not_wait(
    settings: Settings, approval: str | None
) -> None:
    assert approval_request(settings, winner(settings, "a", approval=approval)) is None


def test_a_winner_serves_once_a_person_has_approved_it(settings: Settings) -> None:
    verdict = winner(settings, "a")
    with pytest.raises(TumorMLError, match=r"waits for a person .*tumorml approve v-a"):
        promote(settings, verdict, who="nightly")
    assert champions(settings) == {}
    for _ in range(2):
        assert record_approval(settings, verdict, approved=True, who="ann", why="") == "promoted"
        assert promote(settings, verdict, who="nightly") == "promoted"
    assert champions(settings) == {TASK: "m-a"}
    assert told(settings, verdict)[2:] == ("approved", "ann", None)
    with read_session(settings) as session:
        assert session.scalar(select(func.count()).select_from(Champion)) == 1
        assert session.get_one(Verdict, verdict).approval_at is not None


@pytest.mark.parametrize(
    ("who", "why", "reason", "kept_why"),
    [
        ("ann", "too slow", "won, but ann turned it down: too slow", "too slow"),
        ("ann", " ", "won, but ann turned it down: no reason given", "no reason given"),
        (None, "nobody came", "won, but nobody came", "nobody came"),
        (None, "", "won, but nobody approved it in time", "nobody approved it in time"),
    ],
)
def test_a_winner_that_is_turned_down_is_kept_out_and_told_why(
    settings: Settings, who: str | None, why: str, reason: str, kept_why: str
) -> None:
    verdict = winner(settings, "a")
    assert record_approval(settings, verdict, approved=False, who=who, why=why) == "kept"
    assert told(settings, verdict) == ("kept", reason, "rejected", who, kept_why)
    assert promote(settings, verdict, who="nightly") == "kept"
    assert champions(settings) == {}


@pytest.mark.parametrize("approved", [True, False])
def test_the_same_answer_again_changes_nothing(settings: Settings, approved: bool) -> None:
    verdict = winner(settings, "a")
    record_approval(settings, verdict, approved=approved, who="ann", why="first")
    before = told(settings, verdict)
    record_approval(settings, verdict, approved=approved, who="bob", why="second")
    assert told(settings, verdict) == before


def test_another_answer_is_refused_and_the_first_one_stands(settings: Settings) -> None:
    verdict = winner(settings, "a")
    record_approval(settings, verdict, approved=True, who="ann", why="")
    before = told(settings, verdict)
    with pytest.raises(TumorMLError, match="approved by ann already"):
        record_approval(settings, verdict, approved=False, who="bob", why="no")
    assert told(settings, verdict) == before


def test_a_silence_undoes_no_answer(settings: Settings) -> None:
    verdict = winner(settings, "a")
    record_approval(settings, verdict, approved=True, who="ann", why="")
    assert record_approval(settings, verdict, approved=False, who=None, why="") == "promoted"
    assert told(settings, verdict)[2] == "approved"


def test_of_two_answers_at_once_one_counts(settings: Settings) -> None:
    verdict = winner(settings, "a")

    def answer(approved: bool) -> str:
        try:
            return record_approval(settings, verdict, approved=approved, who="x", why="")
        except TumorMLError:
            return "refused"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(answer, (True, False)))
    outcome, _, approval, *_ = told(settings, verdict)
    assert outcomes == sorted([str(outcome), "refused"])
    assert (outcome, approval) in {("promoted", "approved"), ("kept", "rejected")}


def test_an_answer_to_a_verdict_that_waits_for_nobody_is_refused(settings: Settings) -> None:
    verdict = winner(settings, "a", approval=None)
    with pytest.raises(TumorMLError, match="v-a waits for nobody: it is promoted"):
        record_approval(settings, verdict, approved=True, who="ann", why="")
    with pytest.raises(TumorMLError, match="no verdict 'v-b'"):
        record_approval(settings, "v-b", approved=True, who="ann", why="")


def test_a_verdict_is_found_by_its_run_too(settings: Settings) -> None:
    winner(settings, "a")
    assert find_verdict(settings, "v-a") == find_verdict(settings, "r-a") == ("v-a", "r-a")
    with pytest.raises(TumorMLError, match=r"'r-b'; v-a waits for a person"):
        find_verdict(settings, "r-b")
