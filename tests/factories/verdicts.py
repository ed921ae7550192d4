"""Verdicts of winning challengers, without evaluations."""

from __future__ import annotations

from tests.factories.rows import model_row, run_row, verdict_row
from tumorml.labels import LABELS, Task
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Snapshot, Verdict, VerdictRule
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS
APPROVAL_REASON = "the policy requires approval of every winner"


def winning_verdict(settings: Settings, name: str, *, approval: str | None = "waiting") -> str:
    """Add the verdict ``v-<name>`` of a first model that won, and return its id."""
    with write_session(settings) as session:
        if session.get(Snapshot, "s") is None:
            session.add(Snapshot(id="s", task=TASK, counts={}, held_out={}, object_key=""))
            session.flush()
        session.add(run_row(f"r-{name}", TASK, "s", state="judged"))
        session.flush()
        session.add(model_row(f"m-{name}", f"r-{name}", TASK, labels=list(LABELS[TASK])))
        session.flush()
        session.add(
            verdict_row(
                f"v-{name}",
                f"r-{name}",
                TASK,
                f"m-{name}",
                outcome="promoted",
                reason="it reached every floor",
                approval=approval,
                approval_reason="the policy requires approval of every winner"
                if approval
                else None,
            )
        )
        session.flush()
        session.add_all(
            VerdictRule(
                verdict_id=f"v-{name}",
                position=position,
                rule=rule,
                slice=slice_name,
                result="passed",
                scans=9,
                groups=3,
                explanation=explanation,
            )
            for position, (rule, slice_name, explanation) in enumerate(
                [
                    ("recall_floor", "label=glioma", "recall 0.900, the floor is 0.400"),
                    ("slice_recall", "site=north | south\nwing", "no worse"),
                ],
                start=1,
            )
        )
    return f"v-{name}"


def read_approval(settings: Settings, verdict_id: str) -> tuple[str | None, ...]:
    """Return outcome, reason, approval, approver and the approver's reason from a verdict."""
    with read_session(settings) as session:
        row = session.get_one(Verdict, verdict_id)
        return row.outcome, row.reason, row.approval, row.approval_by, row.approval_why
