"""Command `audit`: report twins of test images in the training part of a set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tumorml.cli.console import Panel, console, progress_bar, results_store
from tumorml.errors import TumorMLError
from tumorml.settings import get_settings

app = typer.Typer()

_PICTURE_SIDE_PIXELS = 256


@app.command(rich_help_panel=Panel.INSPECTION)
def audit(
    path: Annotated[Path | None, typer.Argument(help="Folder, zip or tar of scans.")] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Audit the service's own scans instead of a path.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Path of the HTML page; by default audit-<name>.html in this folder."),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Path of a CSV table with a row for each file.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=0, help="Maximum number of pairs on the page.")] = 24,
) -> None:
    """Report twins of test images in the training part of a set. Ingests nothing."""
    from tumorml.reports.audit.write_audit import Outputs, write_audit
    from tumorml.scans.inbox.names import drop_stem

    if store == (path is not None):
        raise TumorMLError("Name one set: a folder, zip or tar, or --store for the service's own.")
    name = "store" if path is None else drop_stem(path.expanduser().resolve().name)
    outputs = Outputs(html or Path(f"audit-{name}.html"), csv_file, pairs)
    outputs.check()
    if path is None:
        from tumorml.datasets.audit.stored_scans import read_store, stored_pictures

        with results_store() as settings:
            write_audit(
                console,
                read_store(settings),
                outputs,
                lambda files: stored_pictures(settings, files, _PICTURE_SIDE_PIXELS),
            )
        return

    from tumorml.datasets.audit.compare_loose_set import compare_loose_set
    from tumorml.datasets.audit.read_loose_set import read_loose_set, read_pictures

    settings = get_settings()
    with progress_bar(f"read {path.name}") as set_progress:
        loose_set = read_loose_set(settings, path, set_progress)
    with progress_bar("compare") as set_progress:
        compared_set = compare_loose_set(settings, loose_set, set_progress)
    write_audit(
        console,
        compared_set,
        outputs,
        lambda files: read_pictures(
            settings, path, {file.path for file in files}, side=_PICTURE_SIDE_PIXELS
        ),
    )
