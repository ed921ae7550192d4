"""The human step: what a person is asked about a winner, and what the answer does."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.objects import object_store
from tumorml.objects.keys import report_key
from tumorml.policy import load_policy
from tumorml.promotion.champion import lock_champion
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Verdict, VerdictRule
from tumorml.settings import Settings

_QUESTION = """\
**Why a person is asked:** {asked}.

**What the rules say:** {reason}

Challenger `{challenger}`, champion {champion}, run `{run}`:

{rules}

The run's report: `{report}`

No answer within {hours:g} hours is a no. In SQL:

```sql
select * from verdict_rule where verdict_id = '{verdict}' order by position;
select * from verdict where id = '{verdict}';
```
"""


def waits_for_a_person(settings: Settings, verdict_id: str) -> bool:
    """Whether somebody has still to answer for this verdict."""
    with read_session(settings) as session:
        return _verdict(session, verdict_id).approval == "waiting"


def approval_request(settings: Settings, verdict_id: str) -> dict[str, str] | None:
    """What to ask a person about a verdict.

    Returns:
        ``subject``, one line, and ``body``, Markdown. None: the verdict waits for nobody.

    Raises:
        TumorMLError: There is no such verdict, or the policy cannot be read.
    """
    policy = load_policy(settings.promotion_policy)
    with read_session(settings) as session:
        verdict = _verdict(session, verdict_id)
        if verdict.approval != "waiting":
            return None
        rules = session.scalars(
            select(VerdictRule)
            .where(VerdictRule.verdict_id == verdict_id)
            .order_by(VerdictRule.position)
        )
        body = _QUESTION.format(
            asked=verdict.approval_reason,
            reason=verdict.reason,
            challenger=verdict.challenger_id,
            champion=f"`{verdict.champion_id}`" if verdict.champion_id else "none yet",
            run=verdict.run_id,
            rules=_table(rules),
            report=object_store(settings).display(report_key(verdict.run_id)),
            hours=policy.approval.timeout_hours,
            verdict=verdict_id,
        )
        return {
            "subject": f"Shall {verdict.challenger_id} become champion of {verdict.task}?",
            "body": body,
        }


def record_approval(
    settings: Settings, verdict_id: str, *, approved: bool, who: str | None, why: str
) -> str:
    """Write down the answer to a verdict that waits, in one transaction; a no makes it ``kept``.

    The first answer stands: the same one again changes nothing, and neither does a silence.

    Args:
        settings: Where.
        verdict_id: The verdict.
        approved: Whether the challenger may serve.
        who: Who answers. None: nobody did in time, which is a no.
        why: The reason, kept for ever; may be empty.

    Returns:
        The verdict's outcome.

    Raises:
        TumorMLError: There is no such verdict, it asks nobody, or it was answered otherwise.
    """
    if approved and who is None:
        raise ValueError("a silence approves nothing")
    answer = "approved" if approved else "rejected"
    with write_session(settings) as session:
        lock_champion(session, Task(_verdict(session, verdict_id).task))
        verdict = session.get_one(Verdict, verdict_id, populate_existing=True)
        if verdict.approval is None:
            raise TumorMLError(
                f"The verdict {verdict_id} waits for nobody: it is {verdict.outcome}, "
                f"{verdict.reason}"
            )
        if verdict.approval == answer or (verdict.approval != "waiting" and who is None):
            return verdict.outcome
        if verdict.approval != "waiting":
            by = f" by {verdict.approval_by}" if verdict.approval_by else ""
            raise TumorMLError(
                f"The verdict {verdict_id} is {verdict.approval}{by} already, and that stands. "
                "Who serves is changed with `tumorml champion`."
            )
        why = why.strip()
        if not approved:
            why = why or ("no reason given" if who else "nobody approved it in time")
            verdict.outcome = "kept"
            verdict.reason = f"won, but {who} turned it down: {why}" if who else f"won, but {why}"
        verdict.approval = answer
        verdict.approval_by = who
        verdict.approval_why = why or None
        verdict.approval_at = func.now()
        return verdict.outcome


def find_verdict(settings: Settings, verdict_or_run: str) -> tuple[str, str]:
    """The id of a verdict and of its run, by the id of either.

    Raises:
        TumorMLError: Neither a verdict nor a judged run has this id.
    """
    with read_session(settings) as session:
        found = session.execute(
            select(Verdict.id, Verdict.run_id).where(
                or_(Verdict.id == verdict_or_run, Verdict.run_id == verdict_or_run)
            )
        ).first()
        if found is None:
            waiting = session.scalars(select(Verdict.id).where(Verdict.approval == "waiting")).all()
            raise TumorMLError(
                f"There is no verdict, and no judged run, {verdict_or_run!r}; "
                f"{', '.join(waiting) or 'no verdict'} waits for a person."
            )
        return found.id, found.run_id


def _verdict(session: Session, verdict_id: str) -> Verdict:
    verdict = session.get(Verdict, verdict_id)
    if verdict is None:
        raise TumorMLError(f"There is no verdict {verdict_id!r}.")
    return verdict


def _table(rules: Iterable[VerdictRule]) -> str:
    """The rules as a Markdown table."""
    rows = [(rule.rule, rule.slice, rule.result, rule.explanation) for rule in rules]
    lines = [("rule", "slice", "result", "explanation"), ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """A slice is named after what a manifest says: nothing in it may end the cell or the row."""
    return " ".join(text.replace("|", "\\|").split())
