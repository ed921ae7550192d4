"""The contenders of a run: challenger, champion and anchor."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.results.champions import champion_of
from tumorml.results.tables import Champion, ModelVersion, Run


@dataclass(frozen=True, slots=True)
class Contenders:
    """Ids of the model versions that are compared.

    Attributes:
        challenger: The run's own model version.
        champion: The current champion, or None.
        anchor: The task's first champion, or the newest one that a person authorized. None if there
            is none, or if it is the champion.
    """

    challenger: str
    champion: str | None
    anchor: str | None

    @property
    def models(self) -> list[str]:
        """Ids of all contenders."""
        contenders = (self.challenger, self.champion, self.anchor)
        return [model for model in contenders if model is not None]

    def role(self, model: str) -> str:
        """Return ``challenger``, ``champion`` or ``anchor``."""
        return {self.anchor: "anchor", self.champion: "champion"}.get(model, "challenger")


def current_contenders(session: Session, run: Run) -> Contenders:
    """Return the current contenders; a run on a given split has only its challenger.

    Raises:
        TumorMLError: The run has no model version.
    """
    challenger = session.scalar(select(ModelVersion.id).where(ModelVersion.run_id == run.id))
    if challenger is None:
        raise TumorMLError(f"Run {run.id} has no model version yet; train it first.")
    if run.given_split:
        return Contenders(challenger, None, None)
    current = champion_of(session, run.task)
    champion = None if current is None else current.model_version_id
    anchor = _anchor_of(session, run.task)
    return Contenders(challenger, champion, None if anchor == champion else anchor)


def evaluated_contenders(session: Session, run: Run) -> Contenders:
    """Return the contenders that were compared in the run's evaluation."""
    challenger = session.scalars(select(ModelVersion.id).where(ModelVersion.run_id == run.id)).one()
    return Contenders(challenger, run.champion_id, run.anchor_id)


def _anchor_of(session: Session, task: str) -> str | None:
    """Return the newest authorized champion of a task, or else its first champion."""
    return session.scalar(
        select(Champion.model_version_id)
        .where(Champion.task == task)
        .order_by(
            Champion.change != "authorise",
            case((Champion.change == "authorise", -Champion.id), else_=Champion.id),
        )
        .limit(1)
    )
