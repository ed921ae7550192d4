"""The page of the tables of the results store, from the SQLAlchemy metadata."""

from __future__ import annotations

from attribute_docs import attribute_docs
from markdown import code, page, prose, table
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

import tumorml.results.tables  # noqa: F401 - registers every table
from tumorml.results.tables.base import Base


def tables_page() -> str:
    """Return the page: a diagram of all tables, then the columns of each."""
    mappers = sorted(Base.registry.mappers, key=lambda mapper: mapper.local_table.name)
    parts = []
    for mapper in mappers:
        docs = attribute_docs(mapper.class_)
        rows = [
            (
                code(column.name),
                _type(column),
                _constraint(column),
                prose(docs.get(mapper.get_property_by_column(column).key)),
            )
            for column in mapper.local_table.columns
        ]
        parts += [
            f"## {mapper.local_table.name}",
            prose(mapper.class_.__doc__),
            table(("column", "type", "constraint", "meaning"), rows),
        ]
    return page(
        "Tables",
        "tumorml/results/tables",
        "Tables of the results store. Use the [views](views.md) for queries: their columns are "
        "stable. Tables can change with a new version.",
        _diagram([mapper.local_table for mapper in mappers]),
        *parts,
    )


def _type(column: Column[object]) -> str:
    kind = column.type.compile(dialect=postgresql.dialect())
    return kind.lower().replace("timestamp with time zone", "timestamptz")


def _constraint(column: Column[object]) -> str:
    parts = ["primary key"] if column.primary_key else []
    parts += [f"→ [{key.column}](#{key.column.table.name})" for key in column.foreign_keys]
    if not column.nullable and not column.primary_key:
        parts.append("not null")
    return ", ".join(parts)


def _diagram(tables: list[Table]) -> str:
    lines = ["```mermaid", "erDiagram"]
    for one in tables:
        for key in sorted(
            one.foreign_keys, key=lambda key: (key.column.table.name, str(key.parent))
        ):
            line = f'    {key.column.table.name} ||--o{{ {one.name} : "{key.parent.name}"'
            if line not in lines:
                lines.append(line)
    connected = " ".join(lines)
    lines += [f"    {one.name}" for one in tables if f" {one.name} " not in connected]
    return "\n".join([*lines, "```"])
