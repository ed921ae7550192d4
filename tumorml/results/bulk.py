"""Many rows at once, by COPY."""

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
    """Insert rows, all with the same columns, in the session's transaction.

    They go by COPY into a temporary table and from there in one INSERT, so that conflicts can be
    passed over.

    Returns:
        How many rows were inserted.
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
    listed = ", ".join(f'"{column}"' for column in columns)
    session.flush()
    session.execute(text(f"drop table if exists {staging}"))
    columns_of = f"select {listed} from {name} limit 0"
    session.execute(text(f"create temporary table {staging} on commit drop as {columns_of}"))
    cursor = session.connection().connection.cursor()
    cursor.copy_expert(f"copy {staging} ({listed}) from stdin with (format csv, null '')", buffer)
    conflict = " on conflict do nothing" if on_conflict_do_nothing else ""
    result = session.connection().execute(
        text(f"insert into {name} ({listed}) select {listed} from {staging}{conflict}")
    )
    session.execute(text(f"drop table {staging}"))
    return result.rowcount


def _field(value: Any) -> str:
    if value is None:
        return ""  # unquoted, and so NULL; an empty text is quoted
    if isinstance(value, bytes):
        value = f"\\x{value.hex()}"
    elif isinstance(value, dict | list | tuple):
        value = json.dumps(value)
    return '"' + str(value).replace('"', '""') + '"'
