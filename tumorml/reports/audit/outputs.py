"""Where an audit is told: on the terminal, on a page, and in a table where one is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tumorml.datasets.audit.findings import AuditedFile, ComparedSet
from tumorml.datasets.audit.summary import summarise
from tumorml.errors import TumorMLError
from tumorml.reports.audit.page import audit_page
from tumorml.reports.audit.pairs import worst_pairs
from tumorml.reports.audit.screen import print_audit
from tumorml.reports.audit.table import write_audit_csv

Pictures = Callable[[Collection[AuditedFile]], Mapping[str, bytes]]
"""Small JPEGs of some files, by path."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files to write, and how many pairs the page shows at most."""

    page: Path
    table: Path | None
    pairs: int

    def check(self) -> None:
        """Refuse, before any work, what cannot be written.

        Raises:
            TumorMLError: Naming it.
        """
        if self.table is not None and self.table.absolute() == self.page.absolute():
            raise TumorMLError(f"{self.page} cannot be both the page and the table.")
        for written in filter(None, (self.page, self.table)):
            place = written if written.exists() else written.parent
            if written.is_dir() or not written.parent.is_dir() or not os.access(place, os.W_OK):
                raise TumorMLError(
                    f"{written} cannot be written: name a file in a folder that exists, "
                    "and that may be written."
                )


def write_audit(console: Console, read: ComparedSet, outputs: Outputs, pictures: Pictures) -> None:
    """Sum a set up, write the page and the table, and print what they say in short."""
    audit = summarise(read.files, read.twins, read.places)
    shown = worst_pairs(audit, outputs.pairs)
    wanted = {file.path: file for pair in shown for file in (pair.first, pair.second)}
    page = audit_page(
        audit,
        name=read.name,
        pairs=shown,
        pictures=pictures(list(wanted.values())),
        companions=read.companions,
        notes=read.notes,
    )
    outputs.page.write_text(page, encoding="utf-8")
    print_audit(console, audit)
    for note in read.notes:
        console.print(escape(note), highlight=False)
    if outputs.table is not None:
        write_audit_csv(audit, outputs.table)
        console.print(f"every file: {escape(str(outputs.table))}")
    console.print(f"the page with the pairs: {escape(str(outputs.page.resolve()))}")
