"""The step ``promote``: carry out a verdict in one transaction."""

from __future__ import annotations

from sqlalchemy import select

from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.promotion.champion import lock_champion, replace_champion
from tumorml.results.champions import champion_of
from tumorml.results.session import write_session
from tumorml.results.tables import Champion, Verdict
from tumorml.settings import Settings


def promote(settings: Settings, verdict_id: str, *, who: str) -> str:
    """Carry out a verdict in one transaction: make a winning challenger champion.

    If the champion is pinned, or is no longer the champion that was compared, the verdict's outcome
    becomes ``kept`` and its reason is updated. The step is idempotent.

    Args:
        settings: Settings with the results store.
        verdict_id: The verdict.
        who: The person or DAG that promotes, stored in the champion's row.

    Returns:
        The verdict's outcome.

    Raises:
        TumorMLError: There is no such verdict, or it waits for approval.
    """
    with write_session(settings) as session:
        task = session.scalar(select(Verdict.task).where(Verdict.id == verdict_id))
        if task is None:
            raise TumorMLError(f"There is no verdict {verdict_id!r}.")
        lock_champion(session, Task(task))
        verdict = session.get_one(Verdict, verdict_id)
        promotion = session.scalar(select(Champion.id).where(Champion.verdict_id == verdict_id))
        if verdict.outcome != "promoted" or promotion is not None:
            return verdict.outcome
        if verdict.approval == "waiting":
            raise TumorMLError(
                f"The verdict {verdict_id} waits for a person's approval "
                f"({verdict.approval_reason}). Answer in the Airflow UI, or with "
                f"`tumorml approve {verdict_id}`."
            )
        champion = champion_of(session, Task(task))
        current_id = champion.model_version_id if champion is not None else None
        if champion is not None and champion.pinned:
            verdict.outcome = "kept"
            verdict.reason = f"won, but the champion is pinned: {champion.why}"
        elif champion is not None and champion.since > verdict.created_at:
            verdict.outcome = "kept"
            verdict.reason = (
                f"won against {verdict.champion_id or 'no champion'}, but {current_id} became "
                f"champion meanwhile, by {champion.change}"
            )
        elif current_id != verdict.champion_id:
            verdict.outcome = "kept"
            verdict.reason = (
                f"won against {verdict.champion_id or 'no champion'}, but {current_id} became "
                "champion meanwhile"
            )
        else:
            approved = f"; approved by {verdict.approval_by}" if verdict.approval else ""
            replace_champion(
                session,
                Task(task),
                verdict.challenger_id,
                change="promotion",
                who=who,
                why=verdict.reason + approved,
                verdict_id=verdict_id,
            )
        return verdict.outcome
