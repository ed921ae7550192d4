"""Pieces that several commands share: console, results store, tables of query results, progress."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.settings import Settings, get_settings

# Tables written to a file or a pipe are not cut to the width of a terminal.
console = Console(width=None if sys.stdout.isatty() else 240)

TaskOption = Annotated[Task, typer.Option(help="Task of the model.")]


class Panel(StrEnum):
    """Headings that group the commands in `tumorml --help`."""

    SERVICE = "Service"
    DATA = "Data"
    TRAINING = "Training"
    PROMOTION = "Promotion"
    SERVING = "Serving"
    INSPECTION = "Inspection"
    CLUSTER = "Cluster"


@contextmanager
def results_store() -> Iterator[Settings]:
    """Yield the settings with a running results store; start and migrate it if none runs."""
    from tumorml.results.migrate import migrate
    from tumorml.results.server import results_store as running_results_store

    settings = get_settings()
    with running_results_store(settings) as started:
        if started:
            migrate(settings)
        yield settings


def print_query(
    settings: Settings, query: str, *, as_csv: bool = False, **parameters: object
) -> None:
    """Run one SQL query as the read-only role and print its rows as a table or as CSV.

    Raises:
        TumorMLError: Postgres rejects the query, or it returns no rows.
    """
    from sqlalchemy import CursorResult, text
    from sqlalchemy.exc import DBAPIError

    from tumorml.results.session import read_session

    with read_session(settings) as session:
        try:
            result = session.execute(text(query), parameters)
        except DBAPIError as error:
            raise TumorMLError(f"Postgres rejects the query: {error.orig}") from error
        if not (isinstance(result, CursorResult) and result.returns_rows):
            raise TumorMLError("This statement returns no rows; `tumorml sql` runs queries only.")
        columns, rows = list(result.keys()), result.all()
    if as_csv:
        from tumorml.csv_export import csv_writer

        writer = csv_writer(sys.stdout, line_end="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    table = Table(*columns, header_style="bold")
    for row in rows:
        table.add_row(*(escape(_table_cell(value)) for value in row))
    console.print(table)
    console.print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}", style="dim")


def _table_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def current_user() -> str:
    """Return the login name of this process, or its uid in a container without a passwd entry."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; yield the function that sets (done, total)."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task_id = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task_id, completed=done, total=total)
