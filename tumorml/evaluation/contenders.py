"""Who answers the same test scans: the challenger, the champion, and the anchor."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.results.champions import champion_of
from tumorml.results.tables import Champion, ModelVersion, Run


@dataclass(frozen=True, slots=True)
class Contenders:
    """Model versions that are compared.

    Attributes:
        challenger: The run's own.
        champion: The one that it challenges, or None.
        anchor: The authorised champion, where it is not the champion of today, or None: the task's
            first one, or the newest that a person authorised.
    """

    challenger: str
    champion: str | None
    anchor: str | None

    @property
    def models(self) -> list[str]:
        """All of them."""
        return [m for m in (self.challenger, self.champion, self.anchor) if m is not None]

    def role(self, model: str) -> str:
        """``challenger``, ``champion`` or ``anchor``."""
        return {self.anchor: "anchor", self.champion: "champion"}.get(model, "challenger")


def contenders_today(session: Session, run: Run) -> Contenders:
    """Whom a run is to be compared with now; nobody where it follows a given split.

    Raises:
        TumorMLError: The run has left no model version.
    """
    challenger = session.scalar(select(ModelVersion.id).where(ModelVersion.run_id == run.id))
    if challenger is None:
        raise TumorMLError(f"Run {run.id} has left no model version yet; train it first.")
    if run.given_split:
        return Contenders(challenger, None, None)
    serving = champion_of(session, run.task)
    champion = None if serving is None else serving.model_version_id
    anchor = _authorised(session, run.task)
    return Contenders(challenger, champion, None if anchor == champion else anchor)


def contenders_evaluated(session: Session, run: Run) -> Contenders:
    """Whom a run was compared with when it was evaluated."""
    challenger = session.scalars(select(ModelVersion.id).where(ModelVersion.run_id == run.id)).one()
    return Contenders(challenger, run.champion_id, run.anchor_id)


def _authorised(session: Session, task: str) -> str | None:
    """The anchor: the first champion of a task, or the newest that a person authorised."""
    return session.scalar(
        select(Champion.model_version_id)
        .where(Champion.task == task)
        .order_by(
            Champion.change != "authorise",
            case((Champion.change == "authorise", -Champion.id), else_=Champion.id),
        )
        .limit(1)
    )
