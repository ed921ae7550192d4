"""The step ``judge``: write a verdict with a row for each rule's result."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.evaluation.contenders import Contenders, evaluated_contenders
from tumorml.policy import Policy, load_policy
from tumorml.promotion.assemble_contest import assemble_contest
from tumorml.promotion.check_golden_scans import check_golden_scans
from tumorml.promotion.looks import next_look
from tumorml.promotion.rules import LOOK_BUDGET, apply_rules, outcome_of
from tumorml.results.session import read_session, transaction_lock, write_session
from tumorml.results.tables import ModelVersion, Run, Verdict, VerdictRule
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


def judge_run(settings: Settings, run_id: str) -> str:
    """Judge an evaluated run by the current policy.

    A run is judged once. If it has a verdict, nothing changes, and that verdict's id is returned.

    Returns:
        The verdict's id.

    Raises:
        TumorMLError: The run has not been evaluated, or the policy cannot be read.
    """
    policy = load_policy(settings.promotion_policy)
    with read_session(settings) as session:
        existing = _existing_verdict(session, run_id)
        if existing is not None:
            return existing
        contenders = evaluated_contenders(session, session.get_one(Run, run_id))
    golden = check_golden_scans(settings, contenders.challenger)
    contest = assemble_contest(settings, run_id, contenders, policy, golden)
    results = apply_rules(contest, policy)

    with write_session(settings) as session:
        transaction_lock(session, f"run {run_id}")
        existing = _existing_verdict(session, run_id)
        if existing is not None:
            return existing
        run = session.get_one(Run, run_id)
        look = None
        if contenders.champion is not None:
            look = next_look(session, run, policy.looks)
            results += LOOK_BUDGET.check(replace(contest, look=look), policy)
        outcome, reason = outcome_of(results, first=contenders.champion is None)
        approval_reason = (
            _approval_reason(session, contenders, policy) if outcome == "promoted" else None
        )
        look_counts = look is not None and look.is_allowed(policy.looks)
        verdict = Verdict(
            id=f"v-{run_id.removeprefix('r-')}",
            run_id=run_id,
            task=run.task,
            challenger_id=contenders.challenger,
            champion_id=contenders.champion,
            anchor_id=contenders.anchor,
            outcome=outcome,
            reason=reason,
            policy_text=policy.text,
            policy_sha256=policy.sha256,
            test_set_id=look.test_set_id if look is not None else None,
            look=look.number if look is not None and look_counts else None,
            look_alpha=look.alpha if look is not None and look_counts else None,
            approval="waiting" if approval_reason else None,
            approval_reason=approval_reason,
        )
        session.add(verdict)
        session.flush()
        session.add_all(
            VerdictRule(verdict_id=verdict.id, position=position, **asdict(result))
            for position, result in enumerate(results, start=1)
        )
        session.execute(
            update(Run).where(Run.id == run_id).values(state="judged", finished_at=func.now())
        )
        approval = f", waits for approval: {approval_reason}" if approval_reason else ""
        logger.info("verdict %s: %s, %s%s", verdict.id, outcome, reason, approval)
        for result in results:
            logger.info(
                "  %s %s %s: %s", result.result, result.rule, result.slice, result.explanation
            )
        return verdict.id


def _existing_verdict(session: Session, run_id: str) -> str | None:
    """Return the id of a run's verdict, or None if the run is evaluated and has none yet.

    Raises:
        TumorMLError: There is no such run, or it has not been evaluated.
    """
    run = session.get(Run, run_id)
    if run is None:
        raise TumorMLError(f"There is no run {run_id!r}.")
    existing = session.scalar(select(Verdict.id).where(Verdict.run_id == run_id))
    if existing is not None:
        logger.info("run %s already has the verdict %s", run_id, existing)
    elif run.state != "evaluated":
        raise TumorMLError(f"Run {run_id} is {run.state}, not evaluated; evaluate it first.")
    return existing


def _approval_reason(session: Session, contenders: Contenders, policy: Policy) -> str | None:
    """Return the reason why a person has to approve a winner, or None if no approval is needed."""
    if policy.approval.always:
        return "the policy requires approval of every winner"
    if not policy.approval.when_changed or contenders.champion is None:
        return None
    new = session.get_one(ModelVersion, contenders.challenger)
    old = session.get_one(ModelVersion, contenders.champion)
    changed = [
        f"{name} {getattr(old, column)} -> {getattr(new, column)}"
        for column, name in (
            ("labels", "classes"),
            ("input_size", "input size"),
            ("preprocessing", "preprocessing"),
        )
        if getattr(old, column) != getattr(new, column)
    ]
    return "changed against the champion: " + "; ".join(changed) if changed else None
