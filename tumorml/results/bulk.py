"""Many rows at once, by COPY."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
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
    writer = csv.writer(buffer)
    writer.writerow(_field(first[column]) for column in columns)
    writer.writerows([_field(row[column]) for column in columns] for row in rows)
    buffer.seek(0)

    name = table.__tablename__
    staging = f"staging_{name}"
    listed = ", ".join(f'"{column}"' for column in columns)
    session.flush()
    session.execute(text(f"drop table if exists {staging}"))
    columns_of = f"select {listed} from {name} limit 0"
    session.execute(text(f"create temporary table {staging} on commit drop as {columns_of}"))
    cursor = session.connection().connection.cursor()
    cursor.copy_expert(
        rf"copy {staging} ({listed}) from stdin with (format csv, null '\N')", buffer
    )
    conflict = " on conflict do nothing" if on_conflict_do_nothing else ""
    result = session.connection().execute(
        text(f"insert into {name} ({listed}) select {listed} from {staging}{conflict}")
    )
    session.execute(text(f"drop table {staging}"))
    return result.rowcount


def _field(value: Any) -> Any:
    if value is None:
        return r"\N"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    return value
