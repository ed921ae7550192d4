"""State of the service: champions, recent verdicts, newest batches, data of the last run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from tumorml.labels import Task
from tumorml.reports.facts.batches import label_conflicts, newest_batches, refusals
from tumorml.reports.facts.champions import ChampionSummary, champion_summaries
from tumorml.reports.facts.run_data import RunData, read_run_data
from tumorml.reports.facts.verdict import short_reason
from tumorml.results.tables import Artifact, Run, Verdict, VerdictRule

SHOWN_VERDICTS = 10
RUN_DOCUMENTS = ("report", "report_pdf", "deck", "model_card")
"""Kinds of artifacts that describe a run as opposed to one scan."""


@dataclass(frozen=True, slots=True)
class RecentVerdict:
    """A verdict with its run and its shortened reason."""

    verdict: Verdict
    run: Run
    reason: str


@dataclass(frozen=True, slots=True)
class TaskOverview:
    """The state of one task.

    Attributes:
        champion: The champion, if there is one.
        verdicts: The newest verdicts; those waiting for approval come first.
        data: The data of the last run that was not a benchmark.
    """

    champion: ChampionSummary | None
    verdicts: Sequence[RecentVerdict]
    data: RunData | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the service.

    Attributes:
        batches: Rows of ``batch_summary``, the newest first.
        refusals: The most frequent ``reason`` of refused ``files`` in these batches.
        conflicts: Rows of ``label_conflict``; ``conflicts`` is the number of all.
        documents: Reports, decks and model cards of the shown runs, by run id.
    """

    tasks: Mapping[Task, TaskOverview]
    batches: Sequence[Row[Any]]
    refusals: Sequence[Row[Any]]
    conflicts: Sequence[Row[Any]]
    documents: Mapping[str, Sequence[Artifact]]


def read_overview(session: Session) -> Overview:
    """Read the overview; all rows are loaded when it returns."""
    champions = {summary.champion.task: summary for summary in champion_summaries(session)}
    tasks = {
        task: TaskOverview(
            champions.get(task), _recent_verdicts(session, task), _newest_data(session, task)
        )
        for task in Task
    }
    runs = {summary.run.id for summary in champions.values()}
    runs |= {recent.run.id for task in tasks.values() for recent in task.verdicts}
    batches = newest_batches(session)
    return Overview(
        tasks=tasks,
        batches=batches,
        refusals=refusals(session, [batch.batch for batch in batches]),
        conflicts=label_conflicts(session),
        documents=_documents(session, runs),
    )


def _recent_verdicts(session: Session, task: Task) -> list[RecentVerdict]:
    rows = session.execute(
        select(Verdict, Run)
        .join(Run, Run.id == Verdict.run_id)
        .where(Verdict.task == str(task))
        .order_by(
            Verdict.approval.is_not_distinct_from("waiting").desc(), Verdict.created_at.desc()
        )
        .limit(SHOWN_VERDICTS)
    ).all()
    rules: dict[str, list[VerdictRule]] = {verdict.id: [] for verdict, _ in rows}
    for rule in session.scalars(
        select(VerdictRule).where(VerdictRule.verdict_id.in_(rules)).order_by(VerdictRule.position)
    ):
        rules[rule.verdict_id].append(rule)
    return [
        RecentVerdict(verdict, run, short_reason(verdict, rules[verdict.id]))
        for verdict, run in rows
    ]


def _newest_data(session: Session, task: Task) -> RunData | None:
    run = session.scalar(
        select(Run)
        .where(Run.task == str(task), Run.given_split.is_(False))
        .order_by(Run.created_at.desc())
        .limit(1)
    )
    return None if run is None else read_run_data(session, run)


def _documents(session: Session, runs: set[str]) -> dict[str, list[Artifact]]:
    documents: dict[str, list[Artifact]] = {run: [] for run in runs}
    for document in session.scalars(
        select(Artifact)
        .where(Artifact.run_id.in_(runs), Artifact.kind.in_(RUN_DOCUMENTS))
        .order_by(Artifact.object_key)
    ):
        documents[str(document.run_id)].append(document)
    return documents
