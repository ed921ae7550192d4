"""CSV files that are safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Any, TextIO

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet treats text that starts with one of these as a formula (OWASP, CSV Injection)."""


class CsvWriter:
    """Writes rows as CSV; see `csv_writer`."""

    def __init__(self, stream: TextIO, line_end: str) -> None:
        self._writer = csv.writer(stream, lineterminator=line_end)

    def writerow(self, row: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow([_safe_cell(value) for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write several rows."""
        for row in rows:
            self.writerow(row)


def csv_writer(stream: TextIO, *, line_end: str = "\r\n") -> CsvWriter:
    """Return a CSV writer whose text cells cannot be taken for spreadsheet formulas.

    File names and caller names are untrusted, so text that starts like a formula is prefixed with
    an apostrophe. Numbers are not changed; dicts and lists are written as JSON.

    Args:
        stream: Opened with ``newline=""``.
        line_end: Written after each row.
    """
    return CsvWriter(stream, line_end)


def _safe_cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
