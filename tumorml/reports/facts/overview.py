"""The state of the service: who serves, what was judged, what came in, whether it is sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from tumorml.labels import Task
from tumorml.reports.facts.champions import ChampionSummary, champion_summaries
from tumorml.reports.facts.intake import label_conflicts, newest_batches, refusals
from tumorml.reports.facts.run_data import DataOfRun, read_data
from tumorml.reports.facts.verdict import reason
from tumorml.results.tables import Artifact, Run, Verdict, VerdictRule

SHOWN_VERDICTS = 10
TOLD = ("report", "report_pdf", "deck", "model_card")
"""Kinds of artifacts that tell about a whole run."""


@dataclass(frozen=True, slots=True)
class RecentVerdict:
    """A verdict with its run, and its reason in short."""

    verdict: Verdict
    run: Run
    reason: str


@dataclass(frozen=True, slots=True)
class TaskOverview:
    """One task.

    Attributes:
        champion: Who serves, if anybody does.
        verdicts: The newest, those that wait for a person first.
        data: Of the last run that was no benchmark.
    """

    champion: ChampionSummary | None
    verdicts: Sequence[RecentVerdict]
    data: DataOfRun | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole.

    Attributes:
        tasks: Every task, by name.
        batches: Rows of ``batch_summary``, the newest first.
        refusals: The commonest ``reason`` of refused ``files`` in these batches.
        conflicts: Rows of ``label_conflict``, with how many ``conflicts`` there are.
        files: What tells of the shown runs, by run.
    """

    tasks: Mapping[Task, TaskOverview]
    batches: Sequence[Row[Any]]
    refusals: Sequence[Row[Any]]
    conflicts: Sequence[Row[Any]]
    files: Mapping[str, Sequence[Artifact]]


def read_overview(session: Session) -> Overview:
    """Ask the results store; nothing is left to be loaded afterwards."""
    champions = {card.champion.task: card for card in champion_summaries(session)}
    tasks = {
        task: TaskOverview(champions.get(task), _verdicts(session, task), _data(session, task))
        for task in Task
    }
    runs = {card.run.id for card in champions.values()}
    runs |= {recent.run.id for found in tasks.values() for recent in found.verdicts}
    batches = newest_batches(session)
    return Overview(
        tasks=tasks,
        batches=batches,
        refusals=refusals(session, [batch.batch for batch in batches]),
        conflicts=label_conflicts(session),
        files=_files(session, runs),
    )


def _verdicts(session: Session, task: Task) -> list[RecentVerdict]:
    found = session.execute(
        select(Verdict, Run)
        .join(Run, Run.id == Verdict.run_id)
        .where(Verdict.task == str(task))
        .order_by(
            Verdict.approval.is_not_distinct_from("waiting").desc(), Verdict.created_at.desc()
        )
        .limit(SHOWN_VERDICTS)
    ).all()
    rules: dict[str, list[VerdictRule]] = {verdict.id: [] for verdict, _ in found}
    for rule in session.scalars(
        select(VerdictRule).where(VerdictRule.verdict_id.in_(rules)).order_by(VerdictRule.position)
    ):
        rules[rule.verdict_id].append(rule)
    return [
        RecentVerdict(verdict, run, reason(verdict, rules[verdict.id])) for verdict, run in found
    ]


def _data(session: Session, task: Task) -> DataOfRun | None:
    run = session.scalar(
        select(Run)
        .where(Run.task == str(task), Run.given_split.is_(False))
        .order_by(Run.created_at.desc())
        .limit(1)
    )
    return None if run is None else read_data(session, run)


def _files(session: Session, runs: set[str]) -> dict[str, list[Artifact]]:
    files: dict[str, list[Artifact]] = {run: [] for run in runs}
    for file in session.scalars(
        select(Artifact)
        .where(Artifact.run_id.in_(runs), Artifact.kind.in_(TOLD))
        .order_by(Artifact.object_key)
    ):
        files[str(file.run_id)].append(file)
    return files
