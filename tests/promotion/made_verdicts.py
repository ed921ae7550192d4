"""Verdicts of challengers that won, without anything that was compared."""

from __future__ import annotations

from tumorml.labels import LABELS, Task
from tumorml.results.session import reading, writing
from tumorml.results.tables import ModelVersion, Run, Snapshot, Verdict, VerdictRule
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS


def winner(settings: Settings, name: str, *, approval: str | None = "waiting") -> str:
    """The verdict of a challenger that has won against nobody."""
    with writing(settings) as session:
        if session.get(Snapshot, "s") is None:
            session.add(Snapshot(id="s", task=TASK, counts={}, held_out={}, object_key=""))
            session.flush()
        session.add(
            Run(
                id=f"r-{name}",
                task=TASK,
                snapshot_id="s",
                recipe="made up",
                recipe_text="",
                recipe_digest=name,
                seed=1,
                epochs=1,
                trigger="test",
                state="judged",
            )
        )
        session.flush()
        session.add(
            ModelVersion(
                id=f"m-{name}",
                run_id=f"r-{name}",
                task=TASK,
                labels=list(LABELS[TASK]),
                input_size=1,
                parameters=1,
                object_key="",
                sha256="",
                size_bytes=1,
            )
        )
        session.flush()
        session.add(
            Verdict(
                id=f"v-{name}",
                run_id=f"r-{name}",
                task=TASK,
                challenger_id=f"m-{name}",
                outcome="promoted",
                reason="it reached every floor",
                policy_text="",
                policy_sha256="",
                approval=approval,
                approval_reason="the policy asks a person every time" if approval else None,
            )
        )
        session.flush()
        session.add_all(
            VerdictRule(
                verdict_id=f"v-{name}",
                position=position,
                rule=rule,
                slice=slice_,
                result="passed",
                scans=9,
                groups=3,
                explanation=explanation,
            )
            for position, (rule, slice_, explanation) in enumerate(
                [
                    ("recall_floor", "label=glioma", "recall 0.900, the floor is 0.400"),
                    ("slice_recall", "site=north | south\nwing", "no worse"),
                ],
                start=1,
            )
        )
    return f"v-{name}"


def told(settings: Settings, verdict_id: str) -> tuple[str | None, ...]:
    """Outcome, reason, approval, by whom, and why, as the verdict's row has them."""
    with reading(settings) as session:
        row = session.get_one(Verdict, verdict_id)
        return row.outcome, row.reason, row.approval, row.approval_by, row.approval_why
