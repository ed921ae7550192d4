"""Changes of champion; each is one transaction."""

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
"""Postgres NOTIFY channel; the payload is JSON with ``task``, ``model_version`` and ``change``."""


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
    """Change the champion by hand.

    Args:
        settings: Settings with the results store and the object store.
        task: The task whose champion is changed.
        change: One of ``CHANGES``. ``rollback`` returns to an earlier champion. ``pin`` keeps
            later winners out until ``unpin``. ``force`` makes a model version that has not won
            champion, until a challenger beats it. ``authorise`` makes the current champion the
            anchor, which later challengers may not fall behind.
        why: The reason, stored permanently.
        who: The person who changes it.
        model_version_id: The new champion. By default, a rollback returns to the previous champion,
            skipping those that were rolled back from, and a pin keeps the current one.
        request: Id of the request, for instance of an Airflow run; a request is carried out once.

    Returns:
        The id of the champion after the change.

    Raises:
        TumorMLError: The reason is empty, or the change is not possible.
    """
    if not why.strip():
        raise TumorMLError("A change of champion needs a reason.")
    if change not in CHANGES:
        raise TumorMLError(
            f"{change!r} is not a change of champion; choose one of {', '.join(CHANGES)}."
        )
    with write_session(settings) as session:
        lock_champion(session, task)
        if request is not None:
            earlier_target = session.scalar(
                select(Champion.model_version_id).where(Champion.request == request)
            )
            if earlier_target is not None:
                return earlier_target
        current = champion_of(session, task)
        if current is None:
            raise TumorMLError(
                f"The task {task} has no champion yet, so there is nothing to {change}."
            )
        target = _target_of(session, current, change, model_version_id)
        _check_change(current, change, target)
        _check_servable(session, task, target)
        with tempfile.TemporaryDirectory() as folder:
            fetch_model(settings, target, Path(folder))
        if change == "rollback":
            _check_has_served(session, task, target)
        replace_champion(
            session,
            task,
            target,
            change=change,
            who=who,
            why=why,
            request=request,
            pinned=change == "pin" or (change == "authorise" and current.pinned),
        )
        return target


def champions_by_task(settings: Settings) -> dict[Task, str]:
    """Return the id of the current champion of each task that has one."""
    with read_session(settings) as session:
        return {Task(row.task): row.model_version_id for row in current_champions(session)}


def lock_champion(session: Session, task: Task) -> None:
    """Keep others from changing this task's champion until the transaction ends."""
    transaction_lock(session, f"champion of {task}")


def replace_champion(
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
    """Close the task's open ``champion`` row, add a new one, and notify the servers.

    The caller holds the lock of ``lock_champion``.
    """
    current = champion_of(session, task)
    if current is not None:
        current.until = func.now()
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
    # Postgres delivers the notification when the transaction commits.
    payload = {"task": str(task), "model_version": model_version_id, "change": change}
    session.execute(select(func.pg_notify(CHANNEL, json.dumps(payload))))


def _target_of(
    session: Session, current: Champion, change: str, model_version_id: str | None
) -> str:
    """Return the id of the champion after the change."""
    if change in ("rollback", "force") and current.pinned:
        raise TumorMLError(
            f"The champion of {current.task} is pinned ({current.why}); unpin it first."
        )
    if model_version_id is not None:
        return model_version_id
    if change == "force":
        raise TumorMLError("Name the model version that force makes champion.")
    return (
        _previous_champion(session, current) if change == "rollback" else current.model_version_id
    )


def _check_change(current: Champion, change: str, target: str) -> None:
    """Raise an error if the change does not fit the current champion."""
    is_current = target == current.model_version_id
    if change in ("unpin", "authorise") and not is_current:
        raise TumorMLError(
            f"{change} applies to the current champion {current.model_version_id} only, not to "
            f"{target}."
        )
    if change == "unpin" and not current.pinned:
        raise TumorMLError(f"The champion of {current.task} is not pinned.")
    if change in ("rollback", "force") and is_current:
        raise TumorMLError(f"{target} is already the champion of {current.task}.")
    if change == "pin" and is_current and current.pinned:
        raise TumorMLError(f"{target} is already pinned: {current.why}")


def _previous_champion(session: Session, current: Champion) -> str:
    """Return the champion before the current one, skipping those that were rolled back from."""
    history = session.execute(
        select(Champion.model_version_id, Champion.change)
        .where(Champion.task == current.task)
        .order_by(Champion.id)
    )
    successions: list[str] = []
    for model_version_id, change in history:
        if change == "rollback" and model_version_id in successions:
            del successions[successions.index(model_version_id) + 1 :]
        elif successions[-1:] != [model_version_id]:
            successions.append(model_version_id)
    if len(successions) < 2:
        raise TumorMLError(
            f"The task {current.task} has no earlier champion than {current.model_version_id} to "
            "roll back to. Name a model version instead."
        )
    return successions[-2]


def _check_has_served(session: Session, task: Task, model_version_id: str) -> None:
    """Raise an error if a model version never was champion."""
    served = select(Champion.id).where(
        Champion.task == str(task), Champion.model_version_id == model_version_id
    )
    if session.scalar(served.limit(1)) is None:
        verdict = session.execute(
            select(Verdict.outcome, Verdict.reason).where(Verdict.challenger_id == model_version_id)
        ).first()
        verdict_text = f" (verdict {verdict.outcome}: {verdict.reason})" if verdict else ""
        raise TumorMLError(
            f"{model_version_id} was never champion of {task}{verdict_text}, so it is not possible "
            "to roll back to it. Pin it to make it champion."
        )


def _check_servable(session: Session, task: Task, model_version_id: str) -> None:
    """Raise an error if a model version is unknown, of another task, or a benchmark."""
    version = session.get(ModelVersion, model_version_id)
    if version is None or version.task != str(task):
        newest = session.scalars(
            select(ModelVersion.id)
            .where(ModelVersion.task == str(task), ModelVersion.given_split.is_(False))
            .order_by(ModelVersion.created_at.desc())
            .limit(5)
        ).all()
        raise TumorMLError(
            f"There is no model version {model_version_id!r} of the task {task}; the newest are "
            f"{', '.join(newest)}."
        )
    if version.given_split:
        raise TumorMLError(
            f"{model_version_id} is a benchmark: it was trained on a given split and can never "
            "serve."
        )
