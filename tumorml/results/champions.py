"""Current champions: the model version that serves each task."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.results.tables import Champion


def champion_of(session: Session, task: str) -> Champion | None:
    """Return the open ``champion`` row of a task, or None if the task has no champion."""
    return session.scalar(
        select(Champion).where(Champion.task == str(task), Champion.until.is_(None))
    )


def current_champions(session: Session) -> list[Champion]:
    """Return the open ``champion`` row of each task that has one, ordered by task."""
    open_rows = select(Champion).where(Champion.until.is_(None)).order_by(Champion.task)
    return list(session.scalars(open_rows))
