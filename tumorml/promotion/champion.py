"""The champion: who serves, who served, and how that changes - always in one transaction."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.promotion.changes import CHANGES
from tumorml.results.session import lock, reading, writing
from tumorml.results.tables import Champion, ModelVersion
from tumorml.settings import Settings


def change_champion(
    settings: Settings,
    task: Task,
    *,
    change: str,
    why: str,
    who: str,
    model_version_id: str | None = None,
) -> str:
    """Roll back to an earlier model version, pin one, or unpin the one that serves.

    Args:
        settings: Where.
        task: Whose champion.
        change: ``rollback``, ``pin`` or ``unpin``.
        why: The reason, kept for ever.
        who: Who asks.
        model_version_id: The one to serve. None: the champion before this one for a rollback, the
            one that serves for a pin.

    Returns:
        The id of the model version that serves afterwards.

    Raises:
        TumorMLError: No reason is given, or the change is not possible.
    """
    if not why.strip():
        raise TumorMLError("A change of champion needs a reason.")
    if change not in CHANGES:
        raise TumorMLError(f"{change!r} is no change of champion; one of {', '.join(CHANGES)} is.")
    with writing(settings) as session:
        lock_champion(session, task)
        serving = open_champion(session, task)
        if serving is None:
            raise TumorMLError(
                f"The task {task} has no champion yet: there is nothing to {change}."
            )
        if model_version_id is None:
            target = (
                _previous(session, serving) if change == "rollback" else serving.model_version_id
            )
        else:
            target = model_version_id
        if change == "unpin" and target != serving.model_version_id:
            raise TumorMLError("Only the model version that serves can be unpinned.")
        if change == "unpin" and not serving.pinned:
            raise TumorMLError(f"The champion of {task} is not pinned.")
        _check_servable(session, task, target)
        if change == "rollback" and target == serving.model_version_id:
            raise TumorMLError(f"{target} is the champion of {task} already.")
        if change == "pin" and target == serving.model_version_id and serving.pinned:
            raise TumorMLError(f"{target} is pinned already: {serving.why}")
        crown(session, task, target, change=change, who=who, why=why, pinned=change == "pin")
        return target


def champions(settings: Settings) -> dict[Task, str]:
    """The model version that serves, of each task that has one."""
    with reading(settings) as session:
        rows = session.execute(
            select(Champion.task, Champion.model_version_id).where(Champion.until.is_(None))
        )
        return {Task(task): model_version_id for task, model_version_id in rows}


def lock_champion(session: Session, task: Task) -> None:
    """Let nobody else change this task's champion until the transaction ends."""
    lock(session, f"champion of {task}")


def open_champion(session: Session, task: Task) -> Champion | None:
    """The open row of a task."""
    return session.scalar(
        select(Champion).where(Champion.task == str(task), Champion.until.is_(None))
    )


def crown(
    session: Session,
    task: Task,
    model_version_id: str,
    *,
    change: str,
    who: str,
    why: str,
    verdict_id: str | None = None,
    pinned: bool = False,
) -> None:
    """Close the open row and open a new one; the caller holds the lock."""
    session.execute(
        update(Champion)
        .where(Champion.task == str(task), Champion.until.is_(None))
        .values(until=func.now())
    )
    session.add(
        Champion(
            task=str(task),
            model_version_id=model_version_id,
            change=change,
            who=who,
            why=why,
            verdict_id=verdict_id,
            pinned=pinned,
        )
    )
    session.flush()


def _previous(session: Session, serving: Champion) -> str:
    previous = session.scalar(
        select(Champion.model_version_id)
        .where(
            Champion.task == serving.task,
            Champion.id < serving.id,
            Champion.model_version_id != serving.model_version_id,
        )
        .order_by(Champion.id.desc())
        .limit(1)
    )
    if previous is None:
        raise TumorMLError(
            f"The task {serving.task} has had one champion only: nothing to go back to."
        )
    return previous


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
