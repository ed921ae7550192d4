"""Views of the results store, created from the SQL files in ``tumorml/results/views/``.

Views exist only at the newest revision of the tables. ``migrations/env.py`` drops them before it
changes tables and creates them afterwards, so a view file may use any current column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from psycopg2.errors import DependentObjectsStillExist
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tumorml.errors import TumorMLError
from tumorml.results.local_postgres import READER, WRITER

FOLDER = Path(__file__).parent / "views"

VIEWS = (
    "batch_summary",
    "champion_history",
    "run_summary",
    "prediction_history",
    "disagreement",
    "label_conflict",
    "prediction_provenance",
    "policy_history",
    "run_data",
)
"""Names of the view files, in the order of creation: a view follows the views it selects from."""

_ORIGIN = "Created from tumorml/results/views"
"""Start of the comment on each view from a file; the comment ends with the file's SHA-256."""


def replace_views(connection: Connection) -> None:
    """Create every view from its file, replacing the existing views.

    Nothing is locked or changed if the existing views come from the current files.

    Raises:
        TumorMLError: A view cannot be dropped because another view or function depends on it.
    """
    origins = {name: _origin(name) for name in VIEWS}
    if _views_from_files(connection) == origins:
        return
    drop_views(connection)
    for name, origin in origins.items():
        _run_script(connection, _sql(name))
        _run_script(connection, f"comment on view {name} is '{origin}'")
        _run_script(connection, f"grant select on {name} to {READER}")
        _run_script(connection, f"grant select, insert, update, delete on {name} to {WRITER}")


def drop_views(connection: Connection, names: Iterable[str] | None = None) -> None:
    """Drop views, the last one first.

    Args:
        connection: A transaction of the role that owns the views.
        names: Views to drop, in the order of creation; None for all that were created from files.

    Raises:
        TumorMLError: A view cannot be dropped because another view or function depends on it.
    """
    dropped = list(_views_from_files(connection) if names is None else names)
    for name in reversed(dropped):
        try:
            _run_script(connection, f'drop view if exists "{name}"')
        except DBAPIError as error:
            if not isinstance(error.orig, DependentObjectsStillExist):
                raise
            raise TumorMLError(
                f"The view {name} cannot be replaced, because something depends on it: "
                f"{error.orig.diag.message_detail}. Drop that, migrate, and create it again."
            ) from error


def _views_from_files(connection: Connection) -> dict[str, str]:
    """Return the comments of views created from files, by name, in the order of creation."""
    rows = connection.execute(
        text(
            "select relname, obj_description(oid, 'pg_class') from pg_class "
            "where relkind = 'v' and relnamespace = to_regnamespace('public') "
            "and obj_description(oid, 'pg_class') like :origin order by oid"
        ),
        {"origin": f"{_ORIGIN}%"},
    )
    return {str(name): str(comment) for name, comment in rows}


def _origin(name: str) -> str:
    digest = hashlib.sha256(_sql(name).encode()).hexdigest()
    return f"{_ORIGIN}/{name}.sql, SHA-256 {digest}"


def _sql(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def _run_script(connection: Connection, script: str) -> None:
    # Without parameters, so that a percent sign or a colon in a file is not a placeholder.
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})
