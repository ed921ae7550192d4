"""Commands that train without Airflow: `retrain`, `resume`, `reproduce`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tumorml.cli.console import Panel, TaskOption, console, current_user, results_store
from tumorml.cli.run_outcome import print_run_outcome
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.settings import get_settings

app = typer.Typer()


@app.command(rich_help_panel=Panel.TRAINING)
def retrain(
    task: TaskOption = Task.FOUR_CLASS,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a packaged recipe, or path of a .toml file.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Total epochs, divided among the phases in proportion."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the training.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Train even if nothing has changed.")
    ] = False,
    given_split: Annotated[
        bool,
        typer.Option(
            "--given-split",
            help="Benchmark: use the Training/Testing folders of the drops. The model never "
            "serves.",
        ),
    ] = False,
) -> None:
    """Snapshot, train, evaluate, judge, promote and report, without Airflow."""
    from tumorml.pipeline import check_retraining, finish_run, plan_retraining

    # A wrong recipe or policy is reported at once, before the results store starts.
    check_retraining(get_settings(), recipe)
    with results_store() as settings:
        plan = plan_retraining(
            settings,
            task,
            trigger=f"cli {current_user()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            force=force,
            given_split=given_split,
        )
        if plan.run_id is None:
            console.print(plan.reason)
            return
        print_run_outcome(settings, finish_run(settings, plan.run_id, who=current_user()))


@app.command(rich_help_panel=Panel.TRAINING)
def resume(run_id: Annotated[str, typer.Argument(help="Id of an unfinished run.")]) -> None:
    """Continue a run from its last finished step, without Airflow."""
    from tumorml.pipeline import finish_run

    with results_store() as settings:
        print_run_outcome(settings, finish_run(settings, run_id, who=current_user()))


@app.command(rich_help_panel=Panel.TRAINING)
def reproduce(
    run_id: Annotated[str, typer.Argument(help="Id of an evaluated run.")],
) -> None:
    """Train a run again from its record and compare the metrics; exit code 1 if they differ."""
    from tumorml.evaluation.reproduce_run import reproduce_run

    with results_store() as settings:
        reproduction = reproduce_run(settings, run_id)
    table = Table("metric", "recorded", "again", "difference", header_style="bold")
    for name, (recorded, again) in reproduction.metrics.items():
        table.add_row(name, f"{recorded:.6f}", f"{again:.6f}", f"{again - recorded:+.2g}")
    console.print(table)
    console.print(
        f"{reproduction.same_label} of {reproduction.scans} test scans got the same label"
    )
    for difference in reproduction.differs:
        console.print(f"differs from the record: {escape(difference)}")
    if not reproduction.agrees:
        raise TumorMLError(f"Run {run_id} was not reproduced: its metrics or labels differ.")
    console.print(f"run {run_id} was reproduced")
