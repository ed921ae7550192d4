"""The roles and databases of a cluster, on a Postgres server that is reached over the network."""

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
    """Make what the URLs name and the server of the results store's owner lacks.

    A role that exists already is given the password of its URL. Roles of other names become
    members of the two that migrations grant rights to. Airflow's role and database are made too,
    where they lie on the same server; they are its own. An owner who may do none of this is enough
    where somebody else has done all of it.

    Raises:
        TumorMLError: The server cannot be reached as the owner, or the owner may not do this.
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
        said = error.orig if isinstance(error, DBAPIError) else error
        raise TumorMLError(
            f"Postgres does not make the roles and databases as {owner.username} at {owner.host}: "
            f"{str(said).strip()}. Give TUMORML_OWNER_DATABASE_URL a role that may create them, "
            "or have them made and leave it out."
        ) from error
    finally:
        engine.dispose()


def _is_ready(url: str, granted: str | None = None) -> bool:
    """Whether this user reaches its database, and has the rights that a group is given."""
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
        # Hashed here: what the server logs of a statement then tells nobody the password.
        secret = extensions.encrypt_password(str(url.password), name, connection, "scram-sha-256")
        _execute(connection, "alter role {} password {}", sql.Identifier(name), sql.Literal(secret))
    if member_of not in (None, name):
        _execute(connection, "grant {} to {}", sql.Identifier(member_of), sql.Identifier(name))


def _ensure_database(connection: extensions.connection, name: str | None, owner: str) -> None:
    if name and not _exists(connection, "select from pg_database where datname = %s", name):
        if not _exists(connection, "select where current_user = %s", owner):
            # Only a member may make somebody the owner, unless it is a superuser.
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
