"""Bytes that a scan, an answer and a run take in Postgres and in the object store of a home.

What docs/explanation/capacity.md counts with. Run it on a home with some thousand scans: of few, the empty
pages of tables and indexes weigh more than the rows.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from tumorml.objects import object_store
from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.settings import Settings

TABLES = text("""
    select coalesce(parent.relname, c.relname) as name,
           sum(pg_total_relation_size(c.oid)) as bytes
      from pg_class c
      left join pg_inherits i on i.inhrelid = c.oid
      left join pg_class parent on parent.oid = i.inhparent
     where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
     group by 1 order by 2 desc
""")
FOLDERS = (
    "archive",
    "claims",
    "data-docs",
    "masks",
    "models",
    "runs",
    "scans",
    "scores",
    "snapshots",
)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", type=Path)
    settings = Settings(home=parser.parse_args().home)
    console = Console(width=100)
    with results_store(settings), read_session(settings) as session:
        scans = session.scalar(text("select count(*) from scan"))
        table = Table("table", "rows", "bytes a row", "bytes a scan")
        for name, size in session.execute(TABLES):
            count = session.scalar(text(f'select count(*) from "{name}"'))
            if count:
                table.add_row(name, f"{count:,}", f"{size / count:,.0f}", f"{size / scans:,.0f}")
        console.print(table)
    store = object_store(settings)
    table = Table("objects", "number", "bytes each", "bytes a scan")
    for folder in FOLDERS:
        found: Counter[str] = Counter()
        for stored in store.list(folder):
            found.update(number=1, size=stored.size)
        if found:
            number, size = found["number"], found["size"]
            table.add_row(folder, f"{number:,}", f"{size / number:,.0f}", f"{size / scans:,.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
