"""Tables about a finished run: metrics, rules of the verdict, approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tumorml.cli.console import console, print_query
from tumorml.settings import Settings

if TYPE_CHECKING:
    from tumorml.pipeline import FinishedRun


def print_run_outcome(settings: Settings, run: FinishedRun) -> None:
    """Print the outcome of a run, its metrics and rules, and how to approve it if it waits."""
    console.print(f"run {run.run_id}: [bold]{run.outcome}[/]; report {run.report}")
    print_query(
        settings,
        "select split, round(cast(max(value) filter (where metric = 'accuracy') as numeric), 4) "
        "as accuracy, round(cast(max(value) filter (where metric = 'f1_macro') as numeric), 4) "
        "as f1_macro, max(scans) as scans from evaluation e join model_version m "
        "on m.id = e.model_version_id where e.run_id = :run_id and m.run_id = :run_id "
        "and slice = 'all' group by split order by split",
        run_id=run.run_id,
    )
    print_query(
        settings,
        "select rule, slice, result, explanation from verdict_rule r join verdict v "
        "on v.id = r.verdict_id where v.run_id = :run_id order by position",
        run_id=run.run_id,
    )
    if run.waits_for_approval:
        print_approval(settings, run.verdict_id)
        console.print(
            f"approve with `tumorml approve {run.verdict_id}`, reject with "
            f"`tumorml approve {run.verdict_id} --reject`"
        )


def print_approval(settings: Settings, verdict_id: str) -> None:
    """Print a verdict with its approval: state, reason, and who answered."""
    print_query(
        settings,
        "select id as verdict, outcome, reason, approval, approval_reason, "
        "approval_by, approval_why from verdict where id = :verdict_id",
        verdict_id=verdict_id,
    )
