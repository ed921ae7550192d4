"""The step ``judge``: a verdict with a row for each rule."""

from __future__ import annotations

import logging
from dataclasses import asdict

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.evaluation.contenders import Contenders, contenders_evaluated
from tumorml.policy import Policy, load_policy
from tumorml.promotion.assemble import assemble_contest
from tumorml.promotion.golden import check_golden_scans
from tumorml.promotion.looks import look_budget, next_look
from tumorml.promotion.rules import apply_rules, outcome_of
from tumorml.results.session import read_session, transaction_lock, write_session
from tumorml.results.tables import ModelVersion, Run, Verdict, VerdictRule
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
    with read_session(settings) as session:
        known = _known_verdict(session, run_id)
        if known is not None:
            return known
        contenders = contenders_evaluated(session, session.get_one(Run, run_id))
    golden = check_golden_scans(settings, contenders.challenger)
    contest = assemble_contest(settings, run_id, contenders, policy, golden)
    rules = apply_rules(contest, policy)

    with write_session(settings) as session:
        transaction_lock(session, f"run {run_id}")
        known = _known_verdict(session, run_id)
        if known is not None:
            return known
        run = session.get_one(Run, run_id)
        look = None
        if contenders.champion is not None:
            look = next_look(session, run, policy.looks)
            scans, groups = contest.size()
            rules.append(look_budget(look, policy.looks, scans=scans, groups=groups))
        outcome, reason = outcome_of(rules, first=contenders.champion is None)
        asked = _why_a_person(session, contenders, policy) if outcome == "promoted" else None
        taken = look is not None and look.allowed(policy.looks)
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
            look=look.number if look is not None and taken else None,
            look_alpha=look.alpha if look is not None and taken else None,
            approval="waiting" if asked else None,
            approval_reason=asked,
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
        waits = f", waits for a person: {asked}" if asked else ""
        logger.info("verdict %s: %s, %s%s", verdict.id, outcome, reason, waits)
        for rule in rules:
            logger.info("  %s %s %s: %s", rule.result, rule.rule, rule.slice, rule.explanation)
        return verdict.id


def _known_verdict(session: Session, run_id: str) -> str | None:
    run = session.get(Run, run_id)
    if run is None:
        raise TumorMLError(f"There is no run {run_id!r}.")
    known = session.scalar(select(Verdict.id).where(Verdict.run_id == run_id))
    if known is not None:
        logger.info("run %s was judged before: verdict %s", run_id, known)
    elif run.state != "evaluated":
        raise TumorMLError(f"Run {run_id} is {run.state}; evaluate it first.")
    return known


def _why_a_person(session: Session, contenders: Contenders, policy: Policy) -> str | None:
    """Why a person is to decide over a winner, or None."""
    if policy.approval.always:
        return "the policy asks a person every time"
    if not policy.approval.when_changed or contenders.champion is None:
        return None
    new = session.get_one(ModelVersion, contenders.challenger)
    old = session.get_one(ModelVersion, contenders.champion)
    changed = [
        f"{called} {getattr(old, column)} -> {getattr(new, column)}"
        for column, called in (
            ("labels", "classes"),
            ("input_size", "input size"),
            ("preprocessing", "preprocessing"),
        )
        if getattr(old, column) != getattr(new, column)
    ]
    return "changed against the champion: " + "; ".join(changed) if changed else None
