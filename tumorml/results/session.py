"""Sessions and advisory locks on the results store."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tumorml.errors import LockLostError
from tumorml.results.local_postgres import OWNER, READER, WRITER, database_url
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


def writer_url(settings: Settings) -> str:
    """Return the URL of the results store for the role that writes rows."""
    return settings.database_url or database_url(settings, role=WRITER)


def owner_url(settings: Settings) -> str:
    """Return the URL of the results store for the role that owns the tables."""
    configured = settings.owner_database_url or settings.database_url
    return configured or database_url(settings, role=OWNER)


def reader_url(settings: Settings) -> str:
    """Return the URL of the results store for the role that can only select."""
    if settings.reader_database_url:
        return settings.reader_database_url
    if settings.database_url:
        read_only = {"options": "-c default_transaction_read_only=on"}
        url = make_url(settings.database_url).update_query_dict(read_only)
        return url.render_as_string(hide_password=False)
    return database_url(settings, role=READER)


@contextmanager
def write_session(settings: Settings) -> Iterator[Session]:
    """Open a transaction, committed when the block ends and rolled back when it raises."""
    with Session(_engine(writer_url(settings))) as session, session.begin():
        yield session


@contextmanager
def read_session(settings: Settings) -> Iterator[Session]:
    """Open a read-only transaction."""
    with Session(_engine(reader_url(settings))) as session:
        yield session


class Lock:
    """An advisory lock, held by a dedicated connection and released when the connection closes.

    Rows are written on that connection (`writing`), so only while the lock is held. A worker that
    lost its connection, and with it the lock, cannot write any more.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction on the connection that holds the lock.

        Raises:
            LockLostError: The connection is closed, so the lock is lost and nothing was written.
        """
        lost = LockLostError(
            f"Lost the connection to the results store that held the lock of the {self._name}. "
            "Another process may hold the lock now, so this process stops and writes nothing more."
        )
        if self._connection.invalidated:  # SQLAlchemy would open a new one, without the lock
            raise lost
        try:
            with Session(self._connection) as session, session.begin():
                yield session
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise lost from error


@contextmanager
def session_lock(settings: Settings, name: str) -> Iterator[Lock]:
    """Hold an advisory lock across transactions; it is released when the process ends.

    Args:
        settings: Settings of the store.
        name: Name of the lock: the role of its holder, such as ``trainer of <run>``.
    """
    engine = create_engine(writer_url(settings), poolclass=NullPool)
    query = text("select pg_try_advisory_lock(hashtextextended(:name, 0))")
    try:
        with engine.connect() as connection:
            for setting in _KEEPALIVE_SETTINGS:
                connection.execute(text(f"set {setting}"))
            waited_seconds = 0
            while not connection.execute(query, {"name": name}).scalar_one():
                connection.rollback()
                if waited_seconds % 30 == 0:
                    logger.info("waiting: another process holds the lock of the %s", name)
                waited_seconds += 1
                time.sleep(1)
            connection.commit()  # the lock outlasts the transaction
            yield Lock(connection, name)
    finally:
        engine.dispose()


_KEEPALIVE_SETTINGS = (
    "tcp_keepalives_idle = 30",
    "tcp_keepalives_interval = 10",
    "tcp_keepalives_count = 3",
)
"""The server then closes a dead client's connection after 1 minute; the default is 2 hours."""


def transaction_lock(session: Session, name: str) -> None:
    """Acquire an advisory lock, and hold it until the transaction ends."""
    session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
    )


_engines: list[Engine] = []


@lru_cache
def _engine(url: str) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=5,
        hide_parameters=True,  # logged errors must not identify patients or callers
        connect_args={
            "connect_timeout": 10,
            "tcp_user_timeout": 60_000,
            # A dead server is detected after 1 minute; the default is 2 hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        },
    )
    _engines.append(engine)
    return engine


def dispose_engines() -> None:
    """Close the pooled connections of this process."""
    for engine in _engines:
        engine.dispose()
