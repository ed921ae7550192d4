"""Bulk inserts with COPY."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tumorml.results.tables import Base


def copy_rows(
    session: Session,
    table: type[Base],
    rows: Iterable[Mapping[str, Any]],
    *,
    on_conflict_do_nothing: bool = False,
) -> int:
    """Insert rows in the session's transaction.

    Rows are copied into a temporary table and inserted from there, because COPY alone cannot skip
    conflicts.

    Args:
        session: Session with an open transaction.
        table: Table of the rows.
        rows: Rows as mappings of column to value; all rows have the same columns.
        on_conflict_do_nothing: Skip rows that violate a unique constraint.

    Returns:
        Number of inserted rows.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return 0
    columns = list(first)
    buffer = io.StringIO()
    for row in chain([first], rows):
        buffer.write(",".join(_field(row[column]) for column in columns) + "\n")
    buffer.seek(0)

    name = table.__tablename__
    staging = f"staging_{name}"
    column_list = ", ".join(f'"{column}"' for column in columns)
    session.flush()
    session.execute(text(f"drop table if exists {staging}"))
    structure = f"select {column_list} from {name} limit 0"
    session.execute(text(f"create temporary table {staging} on commit drop as {structure}"))
    cursor = session.connection().connection.cursor()
    cursor.copy_expert(
        f"copy {staging} ({column_list}) from stdin with (format csv, null '')", buffer
    )
    conflict = " on conflict do nothing" if on_conflict_do_nothing else ""
    result = session.connection().execute(
        text(f"insert into {name} ({column_list}) select {column_list} from {staging}{conflict}")
    )
    session.execute(text(f"drop table {staging}"))
    return result.rowcount


def _field(value: Any) -> str:
    if value is None:
        return ""  # NULL is unquoted; an empty string is quoted
    if isinstance(value, bytes):
        value = f"\\x{value.hex()}"
    elif isinstance(value, dict | list | tuple):
        value = json.dumps(value)
    return '"' + str(value).replace('"', '""') + '"'
