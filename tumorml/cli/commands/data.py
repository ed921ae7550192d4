"""Commands for scans and labels: `demo`, `drop`, `ingest`, `label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tumorml.cli.console import (
    Panel,
    console,
    current_user,
    print_query,
    progress_bar,
    results_store,
)
from tumorml.errors import TumorMLError
from tumorml.settings import get_settings

app = typer.Typer()


@app.command(rich_help_panel=Panel.DATA)
def demo(
    folder: Annotated[Path, typer.Argument(help="New or empty folder for the synthetic scans.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 7,
    patients: Annotated[int, typer.Option(min=1, help="Patients per label.")] = 24,
) -> None:
    """Write a synthetic, labeled drop for trying the service."""
    from tumorml.demo.drop import write_demo_drop

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TumorMLError(f"{folder} already exists and is not empty; name a new folder.")
    count = write_demo_drop(folder, seed=seed, patients_per_label=patients)
    console.print(f"{count} synthetic scans in {folder}")


@app.command(rich_help_panel=Panel.DATA)
def drop(
    path: Annotated[Path, typer.Argument(help="Folder, zip or tar of scans.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the drop; by default the name of the path.")
    ] = None,
) -> None:
    """Copy a folder, zip or tar of scans into the inbox."""
    from tumorml.objects import object_store
    from tumorml.objects.keys import drop_key
    from tumorml.scans.ingest.put_drop import put_drop

    settings = get_settings()
    drop_name = put_drop(settings, path, name)
    location = object_store(settings).display(drop_key(drop_name))
    console.print(
        f"dropped as {escape(location)}; a running service ingests it within seconds (see "
        "`tumorml status`), `tumorml ingest` ingests it now"
    )


@app.command(rich_help_panel=Panel.DATA)
def ingest() -> None:
    """Ingest every complete drop in the inbox, without Airflow."""
    from tumorml.pipeline import ingest_drops

    with results_store() as settings:
        batch_ids = ingest_drops(
            settings, progress_of=lambda batch_id: progress_bar(f"ingest {batch_id}")
        )
        if not batch_ids:
            console.print("no complete drop in the inbox")
            return
        print_query(
            settings,
            "select batch, state, files, taken_in, duplicates, refused, companions, reason "
            "from batch_summary where batch = any(:batches)",
            batches=batch_ids,
        )


@app.command(rich_help_panel=Panel.DATA)
def label(
    scan: Annotated[str, typer.Argument(help="Scan id, or a unique beginning of one.")],
    label: Annotated[str, typer.Argument(help="The correct label of the scan.")],
    reason: Annotated[str, typer.Option(help="Reason of the decision; stored permanently.")] = "",
) -> None:
    """Decide the label of a scan; the view label_conflict lists scans that need a decision."""
    from tumorml.datasets.labeling import settle_label

    with results_store() as settings:
        scan_id = settle_label(settings, scan, label, reason=reason, who=current_user())
        print_query(
            settings,
            "select scan_id as scan, label, reason, who, created_at from label_decision "
            "where scan_id = :scan order by id",
            scan=scan_id,
        )
