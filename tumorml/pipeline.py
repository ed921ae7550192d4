"""The steps of ingest, retraining and approval in order, for callers without Airflow.

The DAGs call the same steps one task at a time. Every step is idempotent, so each function here
continues after an interruption when it is called again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tumorml.datasets.grouping.assign_groups import assign_groups
from tumorml.datasets.snapshots import take_snapshot
from tumorml.evaluation.evaluate_run import evaluate_run
from tumorml.explain.explain_run import explain_run
from tumorml.labels import Task
from tumorml.objects import object_store
from tumorml.policy import load_policy
from tumorml.promotion.approval import find_verdict, record_approval, waits_for_approval
from tumorml.promotion.judge_run import judge_run
from tumorml.promotion.promote import promote
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe
from tumorml.reports.run.write_run_report import write_run_report
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.settings import Settings
from tumorml.training.plan_run import Plan, plan_run
from tumorml.training.train_run import train_run

SetProgress = Callable[[int, int], None]
"""Called with the number of files read and their total."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A judged run.

    Attributes:
        run_id: Id of the run.
        verdict_id: Id of its verdict.
        outcome: Outcome of the verdict, or "waits for approval".
        waits_for_approval: Whether a person has to approve the challenger before it serves.
        report: Location of the run's HTML report: a path or an s3:// URL.
    """

    run_id: str
    verdict_id: str
    outcome: str
    waits_for_approval: bool
    report: str


def ingest_drops(
    settings: Settings,
    progress_of: Callable[[str], AbstractContextManager[SetProgress | None]] = lambda batch_id: (
        nullcontext()
    ),
) -> list[str]:
    """Ingest every complete drop in the inbox and assign groups to the new scans.

    Args:
        settings: Settings of the service.
        progress_of: Opens a progress display for a batch id.

    Returns:
        Ids of the ingested batches.
    """
    batch_ids = claim_drops(settings)
    for batch_id in batch_ids:
        with progress_of(batch_id) as set_progress:
            ingest_batch(settings, batch_id, on_progress=set_progress)
    if batch_ids:
        assign_groups(settings)
    return batch_ids


def check_retraining(settings: Settings, recipe: str | None) -> None:
    """Check recipe, weights and policy of a retraining; needs no results store.

    Args:
        settings: Settings of the service.
        recipe: Name of a packaged recipe or path of a TOML file; None for the default.

    Raises:
        TumorMLError: The recipe or the policy is invalid, or the recipe's weights are missing.
    """
    find_weights(load_recipe(recipe or settings.default_recipe), settings.weights_folder)
    load_policy(settings.promotion_policy)


def plan_retraining(
    settings: Settings,
    task: Task,
    *,
    trigger: str,
    recipe: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    force: bool = False,
    given_split: bool = False,
) -> Plan:
    """Take a snapshot of a task and plan a run on it; arguments as in `plan_run`.

    Args:
        settings: Settings of the service.
        task: Task to train.
        trigger: Origin of the run; part of the run's identity.
        recipe: Name of a packaged recipe or path of a TOML file; None for the default.
        epochs: Total epochs; None for the recipe's own.
        seed: Seed of the training; None for the default.
        force: Plan a run even if nothing has changed.
        given_split: Use the Training/Testing folders of the drops instead of the drawn sides.

    Raises:
        TumorMLError: No snapshot can be taken, or the recipe is invalid.
    """
    snapshot_id = take_snapshot(settings, task, given_split=given_split)
    return plan_run(
        settings,
        snapshot_id,
        task=task,
        trigger=trigger,
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        force=force,
    )


def finish_run(settings: Settings, run_id: str, *, who: str) -> FinishedRun:
    """Train, evaluate, explain, judge, promote and report a planned or interrupted run.

    Args:
        settings: Settings of the service.
        run_id: Id of the run.
        who: Person or process recorded with a change of champion.

    Raises:
        TumorMLError: There is no such run, or a step failed.
    """
    train_run(settings, run_id)
    evaluate_run(settings, run_id)
    explain_run(settings, run_id)
    verdict_id = judge_run(settings, run_id)
    waits = waits_for_approval(settings, verdict_id)
    outcome = "waits for approval" if waits else promote(settings, verdict_id, who=who)
    return FinishedRun(run_id, verdict_id, outcome, waits, _write_report(settings, run_id))


def answer_verdict(
    settings: Settings, verdict_or_run: str, *, approved: bool, who: str, reason: str
) -> FinishedRun:
    """Record a person's approval or rejection of a verdict, promote if approved, and report.

    Args:
        settings: Settings of the service.
        verdict_or_run: Id of a verdict that waits for approval, or of its run.
        approved: Whether the challenger may serve.
        who: Person who answers.
        reason: Reason of the answer; stored permanently, may be empty.

    Raises:
        TumorMLError: There is no such verdict, it needs no approval, or it has the opposite answer.
    """
    verdict_id, run_id = find_verdict(settings, verdict_or_run)
    record_approval(settings, verdict_id, approved=approved, who=who, why=reason)
    outcome = promote(settings, verdict_id, who=who)
    return FinishedRun(run_id, verdict_id, outcome, False, _write_report(settings, run_id))


def _write_report(settings: Settings, run_id: str) -> str:
    return object_store(settings).display(write_run_report(settings, run_id))
