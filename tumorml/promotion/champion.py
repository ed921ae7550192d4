"""The champion: who serves, who served, and how that changes - always in one transaction."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.models.model_versions import fetch_model
from tumorml.promotion.changes import CHANGES
from tumorml.results.champions import champion_of, current_champions
from tumorml.results.session import read_session, transaction_lock, write_session
from tumorml.results.tables import Champion, ModelVersion, Verdict
from tumorml.settings import Settings

CHANNEL = "tumorml_champion"
"""What servers LISTEN on; the payload is JSON with ``task``, ``model_version`` and ``change``."""


def change_champion(
    settings: Settings,
    task: Task,
    *,
    change: str,
    why: str,
    who: str,
    model_version_id: str | None = None,
    request: str | None = None,
) -> str:
    """Roll back to an earlier model version, pin or force one, unpin or authorise the champion.

    Args:
        settings: Where.
        task: Whose champion.
        change: ``rollback``, ``pin``, ``unpin``, or ``force``: a model version that has not won
            serves until a challenger beats it; or ``authorise``: the one that serves becomes the
            anchor, which no later challenger may fall behind.
        why: The reason, kept for ever.
        who: Who asks.
        model_version_id: The one to serve. None: for a rollback the champion before this one that
            nobody rolled back from since, for a pin the one that serves.
        request: What asks, for instance an Airflow run; the same request is carried out once.

    Returns:
        The id of the model version that serves afterwards.

    Raises:
        TumorMLError: No reason is given, or the change is not possible.
    """
    if not why.strip():
        raise TumorMLError("A change of champion needs a reason.")
    if change not in CHANGES:
        raise TumorMLError(f"{change!r} is no change of champion; one of {', '.join(CHANGES)} is.")
    with write_session(settings) as session:
        lock_champion(session, task)
        if request is not None:
            known = session.scalar(
                select(Champion.model_version_id).where(Champion.request == request)
            )
            if known is not None:
                return known
        serving = champion_of(session, task)
        if serving is None:
            raise TumorMLError(
                f"The task {task} has no champion yet: there is nothing to {change}."
            )
        if change in ("rollback", "force") and serving.pinned:
            raise TumorMLError(f"The champion of {task} is pinned ({serving.why}): unpin it first.")
        if change == "force" and model_version_id is None:
            raise TumorMLError("Say which model version is to be forced.")
        if model_version_id is None:
            target = (
                _previous(session, serving) if change == "rollback" else serving.model_version_id
            )
        else:
            target = model_version_id
        if change in ("unpin", "authorise") and target != serving.model_version_id:
            raise TumorMLError(f"Only the model version that serves can be changed by {change}.")
        if change == "unpin" and not serving.pinned:
            raise TumorMLError(f"The champion of {task} is not pinned.")
        _check_servable(session, task, target)
        with tempfile.TemporaryDirectory() as folder:
            fetch_model(settings, target, Path(folder))
        if change == "rollback":
            _check_has_served(session, task, target)
        if change in ("rollback", "force") and target == serving.model_version_id:
            raise TumorMLError(f"{target} is the champion of {task} already.")
        if change == "pin" and target == serving.model_version_id and serving.pinned:
            raise TumorMLError(f"{target} is pinned already: {serving.why}")
        crown(
            session,
            task,
            target,
            change=change,
            who=who,
            why=why,
            request=request,
            pinned=change == "pin" or (change == "authorise" and serving.pinned),
        )
        return target


def champions(settings: Settings) -> dict[Task, str]:
    """The model version that serves, of each task that has one."""
    with read_session(settings) as session:
        return {Task(row.task): row.model_version_id for row in current_champions(session)}


def lock_champion(session: Session, task: Task) -> None:
    """Let nobody else change this task's champion until the transaction ends."""
    transaction_lock(session, f"champion of {task}")


def crown(
    session: Session,
    task: Task,
    model_version_id: str,
    *,
    change: str,
    who: str,
    why: str,
    verdict_id: str | None = None,
    request: str | None = None,
    pinned: bool = False,
) -> None:
    """Close the open row and open a new one; the caller holds the lock."""
    serving = champion_of(session, task)
    if serving is not None:
        serving.until = func.now()
        session.flush()
    session.add(
        Champion(
            task=str(task),
            model_version_id=model_version_id,
            change=change,
            who=who,
            why=why,
            verdict_id=verdict_id,
            request=request,
            pinned=pinned,
        )
    )
    session.flush()
    # Sent when the transaction commits: whoever serves listens.
    said = json.dumps({"task": str(task), "model_version": model_version_id, "change": change})
    session.execute(select(func.pg_notify(CHANNEL, said)))


def _previous(session: Session, serving: Champion) -> str:
    history = session.execute(
        select(Champion.model_version_id, Champion.change)
        .where(Champion.task == serving.task)
        .order_by(Champion.id)
    )
    line: list[str] = []  # who succeeded whom, without those that were rolled back from
    for model_version_id, change in history:
        if change == "rollback" and model_version_id in line:
            del line[line.index(model_version_id) + 1 :]
        elif line[-1:] != [model_version_id]:
            line.append(model_version_id)
    if len(line) < 2:
        raise TumorMLError(
            f"No champion of {serving.task} stands before {serving.model_version_id}: nothing to "
            "go back to. Name a model version to serve instead."
        )
    return line[-2]


def _check_has_served(session: Session, task: Task, model_version_id: str) -> None:
    served = select(Champion.id).where(
        Champion.task == str(task), Champion.model_version_id == model_version_id
    )
    if session.scalar(served.limit(1)) is None:
        verdict = session.execute(
            select(Verdict.outcome, Verdict.reason).where(Verdict.challenger_id == model_version_id)
        ).first()
        said = f" (verdict {verdict.outcome}: {verdict.reason})" if verdict else ""
        raise TumorMLError(
            f"{model_version_id} was never champion of {task}{said}: there is nothing to go back "
            "to. Pin it if it is to serve all the same."
        )


def _check_servable(session: Session, task: Task, model_version_id: str) -> None:
    version = session.get(ModelVersion, model_version_id)
    if version is None or version.task != str(task):
        known = session.scalars(
            select(ModelVersion.id)
            .where(ModelVersion.task == str(task), ModelVersion.given_split.is_(False))
            .order_by(ModelVersion.created_at.desc())
            .limit(5)
        ).all()
        raise TumorMLError(
            f"There is no model version {model_version_id!r} of the task {task}; the newest are "
            f"{', '.join(known)}."
        )
    if version.given_split:
        raise TumorMLError(
            f"{model_version_id} was trained on a given split, as a benchmark; it can never serve."
        )
