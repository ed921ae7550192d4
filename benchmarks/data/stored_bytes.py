"""Measure the bytes per row in Postgres and per object in the store of an existing home.

The numbers in docs/explanation/capacity.md were measured with it. Use a home with thousands of
scans: with few scans, partly empty pages of tables and indexes dominate.
"""

from __future__ import annotations

import argparse
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
    """Measure a home and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", type=Path)
    settings = Settings(home=parser.parse_args().home)
    console = Console(width=100)
    with results_store(settings), read_session(settings) as session:
        scans = session.scalar(text("select count(*) from scan"))
        table = Table("table", "rows", "bytes per row", "bytes per scan")
        for name, size in session.execute(TABLES):
            count = session.scalar(text(f'select count(*) from "{name}"'))
            if count:
                table.add_row(name, f"{count:,}", f"{size / count:,.0f}", f"{size / scans:,.0f}")
        console.print(table)
    store = object_store(settings)
    table = Table("objects", "number", "bytes per object", "bytes per scan")
    for folder in FOLDERS:
        sizes = [stored.size for stored in store.list(folder)]
        if sizes:
            number, size = len(sizes), sum(sizes)
            table.add_row(folder, f"{number:,}", f"{size / number:,.0f}", f"{size / scans:,.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
