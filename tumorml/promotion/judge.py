"""The steps ``judge`` and ``promote``: a verdict with a row for each rule, and what follows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.promotion.champion import crown, lock_champion, open_champion
from tumorml.promotion.policy import load_policy
from tumorml.promotion.rules import Contest, RuleResult, apply_rules
from tumorml.results.session import lock, writing
from tumorml.results.tables import (
    Champion,
    Evaluation,
    ModelVersion,
    Prediction,
    Run,
    SnapshotScan,
    Verdict,
    VerdictRule,
)
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


def judge_run(settings: Settings, run_id: str) -> str:
    """Judge an evaluated run by the policy of today; a run is judged once.

    Returns:
        The verdict's id.

    Raises:
        TumorMLError: The run has not been evaluated, or the policy cannot be read.
    """
    policy = load_policy(settings.promotion_policy)
    with writing(settings) as session:
        lock(session, f"run {run_id}")
        run = session.get(Run, run_id)
        if run is None:
            raise TumorMLError(f"There is no run {run_id!r}.")
        known = session.scalar(select(Verdict.id).where(Verdict.run_id == run_id))
        if known is not None:
            logger.info("run %s was judged before: verdict %s", run_id, known)
            return known
        if run.state != "evaluated":
            raise TumorMLError(f"Run {run_id} is {run.state}; evaluate it first.")

        challenger = session.scalars(
            select(ModelVersion).where(ModelVersion.run_id == run_id)
        ).one()
        champion = session.scalar(
            select(Evaluation.model_version_id)
            .where(Evaluation.run_id == run_id, Evaluation.model_version_id != challenger.id)
            .limit(1)
        )
        contest = _contest(session, run, challenger.id, champion)
        rules = apply_rules(contest, policy)
        if challenger.given_split:
            rules.append(
                RuleResult(
                    "own_split",
                    "all",
                    "failed",
                    "trained on a split given by the data set, which may leak: a benchmark only",
                    len(contest.truth),
                    len(set(contest.groups)),
                )
            )
        outcome, reason = _outcome(rules, first=champion is None)
        verdict = Verdict(
            id=f"v-{run_id.removeprefix('r-')}",
            run_id=run_id,
            task=run.task,
            challenger_id=challenger.id,
            champion_id=champion,
            outcome=outcome,
            reason=reason,
            policy_text=policy.text,
            policy_sha256=policy.sha256,
        )
        session.add(verdict)
        session.flush()
        session.add_all(
            VerdictRule(verdict_id=verdict.id, position=position, **asdict(rule))
            for position, rule in enumerate(rules, start=1)
        )
        session.execute(
            update(Run).where(Run.id == run_id).values(state="judged", finished_at=func.now())
        )
        logger.info("verdict %s: %s, %s", verdict.id, outcome, reason)
        for rule in rules:
            logger.info("  %s %s %s: %s", rule.result, rule.rule, rule.slice, rule.explanation)
        return verdict.id


def promote(settings: Settings, verdict_id: str, *, who: str) -> str:
    """Do what a verdict says, in one transaction: the challenger becomes champion, or nothing does.

    Where the champion is no longer the one that was challenged, or is pinned, the verdict becomes
    ``kept`` and says why. Doing it twice changes nothing more.

    Returns:
        The verdict's outcome.
    """
    with writing(settings) as session:
        task = session.scalar(select(Verdict.task).where(Verdict.id == verdict_id))
        if task is None:
            raise TumorMLError(f"There is no verdict {verdict_id!r}.")
        lock_champion(session, Task(task))
        verdict = session.get_one(Verdict, verdict_id)
        done = session.scalar(select(Champion.id).where(Champion.verdict_id == verdict_id))
        if verdict.outcome != "promoted" or done is not None:
            return verdict.outcome
        champion = open_champion(session, Task(task))
        serving = champion.model_version_id if champion is not None else None
        if champion is not None and champion.pinned:
            verdict.outcome = "kept"
            verdict.reason = f"won, but the champion is pinned: {champion.why}"
        elif serving != verdict.champion_id:
            verdict.outcome = "kept"
            verdict.reason = (
                f"won against {verdict.champion_id or 'nobody'}, but {serving} became champion "
                "meanwhile"
            )
        else:
            crown(
                session,
                Task(task),
                verdict.challenger_id,
                change="promotion",
                who=who,
                why=verdict.reason,
                verdict_id=verdict_id,
            )
        return verdict.outcome


def _contest(session: Session, run: Run, challenger: str, champion: str | None) -> Contest:
    labels = LABELS[Task(run.task)]
    rows = session.execute(
        select(
            Prediction.model_version_id,
            Prediction.scan_id,
            Prediction.label,
            Prediction.true_label,
            SnapshotScan.group_id,
        )
        .join(
            SnapshotScan,
            (SnapshotScan.snapshot_id == run.snapshot_id)
            & (SnapshotScan.scan_id == Prediction.scan_id)
            & (SnapshotScan.split == "test"),
        )
        .where(Prediction.run_id == run.id, Prediction.source == "evaluation")
        .order_by(Prediction.scan_id)
    ).all()
    mine = [row for row in rows if row.model_version_id == challenger]
    theirs = [row for row in rows if row.model_version_id == champion]
    if champion is not None and [r.scan_id for r in mine] != [r.scan_id for r in theirs]:
        raise RuntimeError(f"champion and challenger of run {run.id} answered different scans")

    def indices(names: Sequence[str | None]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([labels.index(str(name)) for name in names], dtype=np.int64)

    return Contest(
        labels,
        truth=indices([row.true_label for row in mine]),
        groups=[row.group_id for row in mine],
        challenger=indices([row.label for row in mine]),
        champion=indices([row.label for row in theirs]) if champion is not None else None,
    )


def _outcome(rules: list[RuleResult], *, first: bool) -> tuple[str, str]:
    lost = [rule for rule in rules if rule.result == "failed"]
    short = [rule for rule in rules if rule.result == "insufficient"]
    if any(rule.rule == "own_split" for rule in lost):
        return "rejected", lost[-1].explanation
    if short:
        return "insufficient", "; ".join(f"{r.slice}: {r.explanation}" for r in short)
    if lost:
        reason = "; ".join(f"{rule.rule} {rule.slice}: {rule.explanation}" for rule in lost)
        return ("rejected" if first else "kept"), reason
    if first:
        return "promoted", "the first model, and it reached every floor"
    gain = next(rule for rule in rules if rule.rule == "f1_gain")
    return "promoted", gain.explanation
