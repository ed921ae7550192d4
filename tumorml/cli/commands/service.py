"""Commands that run the service and its Airflow: `up`, `airflow`, `in-airflow`, `migrate`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from tumorml.cli.console import Panel, console, results_store
from tumorml.errors import TumorMLError
from tumorml.settings import get_settings

app = typer.Typer()


@app.command(rich_help_panel=Panel.SERVICE)
def up(
    once: Annotated[
        bool, typer.Option("--once", help="Stop with exit code 0 after the first champion.")
    ] = False,
    demo: Annotated[
        bool,
        typer.Option(help="In an empty home, ingest a synthetic drop and retrain once."),
    ] = True,
) -> None:
    """Start Postgres, Airflow, the API and the web UI on this machine, and keep them running."""
    from tumorml.service.local.up import up as start

    start(get_settings(), once=once, demo=demo)


@app.command(
    rich_help_panel=Panel.SERVICE,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def airflow(context: typer.Context) -> None:
    """Run Airflow's own command line with this service's environment."""
    from tumorml.service.airflow.environment import airflow_environment

    command = [sys.executable, "-m", "airflow", *context.args]
    os.execve(command[0], command, airflow_environment(get_settings()))  # noqa: S606


@app.command(
    "in-airflow",
    rich_help_panel=Panel.SERVICE,
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    add_help_option=False,
)
def in_airflow(context: typer.Context) -> None:
    """Run any command with the environment of this service's Airflow, for instance in a pod."""
    from tumorml.service.airflow.environment import airflow_environment

    if not context.args:
        raise TumorMLError("Name a command to run: `tumorml in-airflow COMMAND [ARGUMENTS]`.")
    try:
        os.execvpe(context.args[0], context.args, airflow_environment(get_settings()))  # noqa: S606
    except OSError as error:
        raise TumorMLError(f"Cannot run {context.args[0]}: {error.strerror}.") from None


@app.command(rich_help_panel=Panel.SERVICE)
def migrate() -> None:
    """Migrate the results store to the newest schema."""
    from tumorml.results.migrate import migrate as run

    with results_store() as settings:
        run(settings)
        console.print("the results store has the newest schema")
