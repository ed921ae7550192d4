"""A person's approval of a winning challenger, in the results store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from tests.factories.verdicts import read_approval, winning_verdict
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.policy import load_policy
from tumorml.promotion.approval import approval_request, find_verdict, record_approval
from tumorml.promotion.champion import champions_by_task
from tumorml.promotion.promote import promote
from tumorml.results.session import read_session
from tumorml.results.tables import Champion, Verdict
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS


def test_request_contains_the_reason_and_every_rule(settings: Settings) -> None:
    request = approval_request(settings, winning_verdict(settings, "a"))
    assert request is not None
    assert request["subject"] == "Make m-a champion of four_class?"
    body = request["body"]
    assert "the policy requires approval of every winner" in body
    assert "it reached every floor" in body
    assert "| recall_floor | label=glioma | passed | recall 0.900, the floor is 0.400 |" in body
    assert str(settings.home / "objects/runs/r-a/report.html") in body
    assert "where verdict_id = 'v-a'" in body
    hours = load_policy(settings.promotion_policy).approval.timeout_hours
    assert f"Without an answer within {hours:g} hours, the challenger is rejected" in body


def test_slice_name_cannot_break_the_table_of_rules(settings: Settings) -> None:
    request = approval_request(settings, winning_verdict(settings, "a"))
    assert request is not None
    assert "| slice_recall | site=north \\| south wing | passed | no worse |" in request["body"]


@pytest.mark.parametrize("approval", [None, "approved", "rejected"])
def test_verdict_that_does_not_wait_has_no_request(
    settings: Settings, approval: str | None
) -> None:
    assert approval_request(settings, winning_verdict(settings, "a", approval=approval)) is None


def test_winner_serves_after_approval(settings: Settings) -> None:
    verdict = winning_verdict(settings, "a")
    with pytest.raises(
        TumorMLError, match=r"waits for a person's approval[\s\S]*tumorml approve v-a"
    ):
        promote(settings, verdict, who="nightly")
    assert champions_by_task(settings) == {}
    for _ in range(2):
        assert record_approval(settings, verdict, approved=True, who="ann", why="") == "promoted"
        assert promote(settings, verdict, who="nightly") == "promoted"
    assert champions_by_task(settings) == {TASK: "m-a"}
    assert read_approval(settings, verdict)[2:] == ("approved", "ann", None)
    with read_session(settings) as session:
        assert session.scalar(select(func.count()).select_from(Champion)) == 1
        assert session.get_one(Verdict, verdict).approval_at is not None


@pytest.mark.parametrize(
    ("who", "why", "reason", "kept_why"),
    [
        ("ann", "too slow", "won, but ann rejected it: too slow", "too slow"),
        ("ann", " ", "won, but ann rejected it: no reason given", "no reason given"),
        (None, "nobody came", "won, but nobody came", "nobody came"),
        (None, "", "won, but nobody approved it in time", "nobody approved it in time"),
    ],
)
def test_rejected_winner_is_kept_out_with_reason(
    settings: Settings, who: str | None, why: str, reason: str, kept_why: str
) -> None:
    verdict = winning_verdict(settings, "a")
    assert record_approval(settings, verdict, approved=False, who=who, why=why) == "kept"
    assert read_approval(settings, verdict) == ("kept", reason, "rejected", who, kept_why)
    assert promote(settings, verdict, who="nightly") == "kept"
    assert champions_by_task(settings) == {}


@pytest.mark.parametrize("approved", [True, False])
def test_repeated_answer_changes_nothing(settings: Settings, approved: bool) -> None:
    verdict = winning_verdict(settings, "a")
    record_approval(settings, verdict, approved=approved, who="ann", why="first")
    before = read_approval(settings, verdict)
    record_approval(settings, verdict, approved=approved, who="bob", why="second")
    assert read_approval(settings, verdict) == before


def test_opposite_answer_is_refused_and_the_first_stands(settings: Settings) -> None:
    verdict = winning_verdict(settings, "a")
    record_approval(settings, verdict, approved=True, who="ann", why="")
    before = read_approval(settings, verdict)
    with pytest.raises(TumorMLError, match="already approved by ann"):
        record_approval(settings, verdict, approved=False, who="bob", why="no")
    assert read_approval(settings, verdict) == before


def test_timeout_after_an_approval_changes_nothing(settings: Settings) -> None:
    verdict = winning_verdict(settings, "a")
    record_approval(settings, verdict, approved=True, who="ann", why="")
    assert record_approval(settings, verdict, approved=False, who=None, why="") == "promoted"
    assert read_approval(settings, verdict)[2] == "approved"


def test_one_of_two_simultaneous_answers_counts(settings: Settings) -> None:
    verdict = winning_verdict(settings, "a")

    def answer(approved: bool) -> str:
        try:
            return record_approval(settings, verdict, approved=approved, who="x", why="")
        except TumorMLError:
            return "refused"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(answer, (True, False)))
    outcome, _, approval, *_ = read_approval(settings, verdict)
    assert outcomes == sorted([str(outcome), "refused"])
    assert (outcome, approval) in {("promoted", "approved"), ("kept", "rejected")}


def test_answer_to_a_verdict_without_approval_is_refused(settings: Settings) -> None:
    verdict = winning_verdict(settings, "a", approval=None)
    with pytest.raises(TumorMLError, match="v-a does not require approval: it is promoted"):
        record_approval(settings, verdict, approved=True, who="ann", why="")
    with pytest.raises(TumorMLError, match="no verdict 'v-b'"):
        record_approval(settings, "v-b", approved=True, who="ann", why="")


def test_verdict_is_found_by_its_run_id(settings: Settings) -> None:
    winning_verdict(settings, "a")
    assert find_verdict(settings, "v-a") == find_verdict(settings, "r-a") == ("v-a", "r-a")
    with pytest.raises(TumorMLError, match=r"'r-b'\. Verdicts that wait for approval: v-a"):
        find_verdict(settings, "r-b")
