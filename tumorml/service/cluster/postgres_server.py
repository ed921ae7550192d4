"""Create the roles and databases of a cluster on a Postgres server."""

from __future__ import annotations

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import URL, NullPool, create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tumorml.errors import TumorMLError
from tumorml.results.local_postgres import READER, WRITER
from tumorml.results.session import owner_url, reader_url, writer_url
from tumorml.settings import Settings


def create_roles_and_databases(settings: Settings, airflow_url: str) -> None:
    """Create the missing roles and databases of the URLs on the results store's server.

    An existing role gets the password of its URL. Roles with other names become members of the
    writer and reader roles, to which migrations grant rights. Airflow's role and database are
    created too if they are on the same server; that role owns that database. An owner without
    permission to create roles is accepted if all roles and databases exist.

    Args:
        settings: Settings with the URLs of the results store, the owner's URL included.
        airflow_url: SQLAlchemy URL of Airflow's database.

    Raises:
        TumorMLError: The server cannot be reached as the owner, or the owner lacks permission and
            something is missing.
    """
    users = ((WRITER, writer_url(settings)), (READER, reader_url(settings)))
    owner = make_url(owner_url(settings))
    airflow = make_url(airflow_url)
    engine = create_engine(owner.set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as pooled:
            connection = pooled.connection.dbapi_connection
            assert isinstance(connection, extensions.connection)  # noqa: S101 - the driver is psycopg2
            for granted, url in users:
                _ensure_group(connection, granted)
                _ensure_login(connection, make_url(url), member_of=granted)
            _ensure_database(connection, owner.database, str(owner.username))
            if (airflow.host, airflow.port) == (owner.host, owner.port):
                _ensure_login(connection, airflow)
                _ensure_database(connection, airflow.database, str(airflow.username))
    except (DBAPIError, psycopg2.Error) as error:
        ready = all(_is_ready(url, granted) for granted, url in users) and _is_ready(airflow_url)
        if isinstance(error, InsufficientPrivilege) and ready:
            return
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise TumorMLError(
            f"Cannot create the roles and databases as {owner.username} at {owner.host}: "
            f"{str(reason).strip()}. Set TUMORML_OWNER_DATABASE_URL to a role that may create "
            "them, or create them by hand and leave it unset."
        ) from error
    finally:
        engine.dispose()


def _is_ready(url: str, granted: str | None = None) -> bool:
    """Return True if a URL's user can connect and is a member of the role `granted`."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            member = granted is None or connection.scalar(
                select(func.pg_has_role(granted, "usage"))
            )
            return bool(member)
    except DBAPIError:
        return False


def _ensure_group(connection: extensions.connection, name: str) -> None:
    if not _exists(connection, "select from pg_roles where rolname = %s", name):
        _execute(connection, "create role {} login", sql.Identifier(name))


def _ensure_login(
    connection: extensions.connection, url: URL, member_of: str | None = None
) -> None:
    name = str(url.username)
    verb = (
        "alter"
        if _exists(connection, "select from pg_roles where rolname = %s", name)
        else "create"
    )
    _execute(connection, f"{verb} role {{}} login", sql.Identifier(name))
    if url.password is not None:
        # The hash is computed here, so that the server's statement log never has the password.
        secret = extensions.encrypt_password(str(url.password), name, connection, "scram-sha-256")
        _execute(connection, "alter role {} password {}", sql.Identifier(name), sql.Literal(secret))
    if member_of not in (None, name):
        _execute(connection, "grant {} to {}", sql.Identifier(member_of), sql.Identifier(name))


def _ensure_database(connection: extensions.connection, name: str | None, owner: str) -> None:
    if name and not _exists(connection, "select from pg_database where datname = %s", name):
        if not _exists(connection, "select where current_user = %s", owner):
            # Without superuser rights, only a member of a role can make it the owner.
            _execute(connection, "grant {} to current_user", sql.Identifier(owner))
        _execute(
            connection, "create database {} owner {}", sql.Identifier(name), sql.Identifier(owner)
        )


def _exists(connection: extensions.connection, query: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(query, (name,))
        return cursor.fetchone() is not None


def _execute(connection: extensions.connection, statement: str, *parts: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*parts))
