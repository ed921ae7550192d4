"""A person's approval of a winning challenger: the request and the answer."""

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

_REQUEST_BODY = """\
**Why approval is required:** {approval_reason}.

**Why the challenger won:** {reason}

Challenger `{challenger}`, champion {champion}, run `{run}`:

{rules}

The run's report: `{report}`

Without an answer within {hours:g} hours, the challenger is rejected. In SQL:

```sql
select * from verdict_rule where verdict_id = '{verdict}' order by position;
select * from verdict where id = '{verdict}';
```
"""


def waits_for_approval(settings: Settings, verdict_id: str) -> bool:
    """Return True if the verdict waits for a person's approval."""
    with read_session(settings) as session:
        return _verdict(session, verdict_id).approval == "waiting"


def approval_request(settings: Settings, verdict_id: str) -> dict[str, str] | None:
    """Return the request to the person who approves a verdict.

    Returns:
        ``subject``, one line, and ``body``, Markdown. None if the verdict does not wait for
        approval.

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
        body = _REQUEST_BODY.format(
            approval_reason=verdict.approval_reason,
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
            "subject": f"Make {verdict.challenger_id} champion of {verdict.task}?",
            "body": body,
        }


def record_approval(
    settings: Settings, verdict_id: str, *, approved: bool, who: str | None, why: str
) -> str:
    """Record the answer to a waiting verdict in one transaction; a rejection makes it ``kept``.

    The first answer is final. Repeating it changes nothing, and neither does a timeout after it.

    Args:
        settings: Settings with the results store.
        verdict_id: The verdict.
        approved: True if the challenger may become champion.
        who: The person who answers. None after a timeout, which counts as a rejection.
        why: The reason, stored permanently; may be empty.

    Returns:
        The verdict's outcome.

    Raises:
        TumorMLError: There is no such verdict, it does not require approval, or it has the opposite
            answer already.
        ValueError: A timeout is given as an approval.
    """
    if approved and who is None:
        raise ValueError("an approval needs the person who approves")
    answer = "approved" if approved else "rejected"
    with write_session(settings) as session:
        lock_champion(session, Task(_verdict(session, verdict_id).task))
        verdict = session.get_one(Verdict, verdict_id, populate_existing=True)
        if verdict.approval is None:
            raise TumorMLError(
                f"The verdict {verdict_id} does not require approval: it is {verdict.outcome}, "
                f"{verdict.reason}"
            )
        if verdict.approval == answer or (verdict.approval != "waiting" and who is None):
            return verdict.outcome
        if verdict.approval != "waiting":
            by = f" by {verdict.approval_by}" if verdict.approval_by else ""
            raise TumorMLError(
                f"The verdict {verdict_id} is already {verdict.approval}{by}, and the first answer "
                "is final. Change the champion with `tumorml champion`."
            )
        why = why.strip()
        if not approved:
            why = why or ("no reason given" if who else "nobody approved it in time")
            verdict.outcome = "kept"
            verdict.reason = f"won, but {who} rejected it: {why}" if who else f"won, but {why}"
        verdict.approval = answer
        verdict.approval_by = who
        verdict.approval_why = why or None
        verdict.approval_at = func.now()
        return verdict.outcome


def find_verdict(settings: Settings, verdict_or_run: str) -> tuple[str, str]:
    """Return the ids of a verdict and of its run, given either of them.

    Raises:
        TumorMLError: Neither a verdict nor a judged run has this id.
    """
    with read_session(settings) as session:
        ids = session.execute(
            select(Verdict.id, Verdict.run_id).where(
                or_(Verdict.id == verdict_or_run, Verdict.run_id == verdict_or_run)
            )
        ).first()
        if ids is None:
            waiting = session.scalars(select(Verdict.id).where(Verdict.approval == "waiting")).all()
            raise TumorMLError(
                f"There is no verdict and no judged run {verdict_or_run!r}. Verdicts that wait for "
                f"approval: {', '.join(waiting) or 'none'}."
            )
        return ids.id, ids.run_id


def _verdict(session: Session, verdict_id: str) -> Verdict:
    verdict = session.get(Verdict, verdict_id)
    if verdict is None:
        raise TumorMLError(f"There is no verdict {verdict_id!r}.")
    return verdict


def _table(rules: Iterable[VerdictRule]) -> str:
    """Format the rules as a Markdown table."""
    rows = [(rule.rule, rule.slice, rule.result, rule.explanation) for rule in rules]
    lines = [("rule", "slice", "result", "explanation"), ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Escape a cell's text; a slice name comes from a manifest and may contain bars or newlines."""
    return " ".join(text.replace("|", "\\|").split())
