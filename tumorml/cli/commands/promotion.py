"""Commands that approve challengers and change the champion: `approve` and `champion`."""

from __future__ import annotations

from typing import Annotated

import typer

from tumorml.cli.console import (
    Panel,
    TaskOption,
    console,
    current_user,
    print_query,
    results_store,
)
from tumorml.cli.run_outcome import print_approval
from tumorml.errors import TumorMLError
from tumorml.labels import Task

app = typer.Typer()


@app.command(rich_help_panel=Panel.PROMOTION)
def approve(
    verdict_or_run: Annotated[
        str, typer.Argument(help="Id of a verdict that waits for approval, or of its run.")
    ],
    reject: Annotated[bool, typer.Option("--reject", help="Reject the challenger.")] = False,
    reason: Annotated[str, typer.Option(help="Reason of the decision; stored permanently.")] = "",
) -> None:
    """Approve or reject a winning challenger where the policy requires it, without Airflow."""
    from tumorml.pipeline import answer_verdict

    with results_store() as settings:
        answered = answer_verdict(
            settings, verdict_or_run, approved=not reject, who=current_user(), reason=reason
        )
        console.print(
            f"verdict {answered.verdict_id}: [bold]{answered.outcome}[/]; report {answered.report}"
        )
        print_approval(settings, answered.verdict_id)


@app.command(rich_help_panel=Panel.PROMOTION)
def champion(
    task: TaskOption = Task.FOUR_CLASS,
    rollback: Annotated[
        bool,
        typer.Option("--rollback", help="Return to the previous champion, or to --model."),
    ] = False,
    pin: Annotated[
        bool, typer.Option("--pin", help="Keep the champion, or --model, until it is unpinned.")
    ] = False,
    unpin: Annotated[
        bool, typer.Option("--unpin", help="Allow challengers to replace the champion again.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Make --model the champion although it did not win.")
    ] = False,
    authorise: Annotated[
        bool,
        typer.Option(
            "--authorise",
            help="Make the champion the anchor, which later challengers may not fall behind.",
        ),
    ] = False,
    model: Annotated[str | None, typer.Option(help="Id of a model version.")] = None,
    reason: Annotated[
        str, typer.Option(help="Reason of the change; required, and stored permanently.")
    ] = "",
) -> None:
    """Show the current and the earlier champions of a task, or change the champion."""
    from tumorml.promotion.champion import change_champion

    options = {
        "rollback": rollback,
        "pin": pin,
        "unpin": unpin,
        "force": force,
        "authorise": authorise,
    }
    changes = [name for name, is_set in options.items() if is_set]
    if len(changes) > 1:
        raise TumorMLError(f"Make one change at a time, not {' and '.join(changes)}.")
    if model and not changes:
        raise TumorMLError("--model needs one of --rollback, --pin and --force.")
    with results_store() as settings:
        for change in changes:
            change_champion(
                settings,
                task,
                change=change,
                why=reason,
                who=current_user(),
                model_version_id=model,
            )
        print_query(
            settings,
            "select model_version, since, until, change, who, why, pinned, recipe, run "
            "from champion_history where task = :task order by since desc limit 20",
            task=str(task),
        )
