"""Write the results of an audit: to the terminal, an HTML page and, on request, a CSV table."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tumorml.datasets.audit.findings import AuditedFile, ComparedSet
from tumorml.datasets.audit.summarize import summarize
from tumorml.errors import TumorMLError
from tumorml.reports.audit.page import audit_page
from tumorml.reports.audit.pairs import worst_pairs
from tumorml.reports.audit.print_audit import print_audit
from tumorml.reports.audit.table import write_audit_csv

Pictures = Callable[[Collection[AuditedFile]], Mapping[str, bytes]]
"""A function that returns small JPEGs of files, by path."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files to write.

    Attributes:
        page: The HTML page.
        table: The CSV table; None to write no table.
        pairs: Largest number of pairs on the page.
    """

    page: Path
    table: Path | None
    pairs: int

    def check(self) -> None:
        """Check in advance that the files can be written.

        Raises:
            TumorMLError: A file cannot be written; the message names it.
        """
        if self.table is not None and self.table.absolute() == self.page.absolute():
            raise TumorMLError(
                f"{self.page} cannot be both the page and the table: name two files."
            )
        for file in filter(None, (self.page, self.table)):
            path = file if file.exists() else file.parent
            if file.is_dir() or not file.parent.is_dir() or not os.access(path, os.W_OK):
                raise TumorMLError(
                    f"{file} cannot be written: name a file in an existing, writable folder."
                )


def write_audit(
    console: Console, compared: ComparedSet, outputs: Outputs, pictures: Pictures
) -> None:
    """Summarize an audited set, write the page and the table, and print a summary."""
    audit = summarize(compared.files, compared.twins, compared.places)
    shown = worst_pairs(audit, outputs.pairs)
    shown_files = {file.path: file for pair in shown for file in (pair.first, pair.second)}
    page = audit_page(
        audit,
        name=compared.name,
        pairs=shown,
        pictures=pictures(list(shown_files.values())),
        companions=compared.companions,
        notes=compared.notes,
    )
    outputs.page.write_text(page, encoding="utf-8")
    print_audit(console, audit)
    for note in compared.notes:
        console.print(escape(note), highlight=False)
    if outputs.table is not None:
        write_audit_csv(audit, outputs.table)
        console.print(f"table of all files: {escape(str(outputs.table))}")
    console.print(f"page with the pairs: {escape(str(outputs.page.resolve()))}")
