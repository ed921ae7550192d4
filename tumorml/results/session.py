"""Sessions on the results store: one to write, one that can only read."""

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
    """The results store as the role that may write rows."""
    return settings.database_url or database_url(settings, role=WRITER)


def owner_url(settings: Settings) -> str:
    """The results store as the role that owns the tables, for migrations."""
    configured = settings.owner_database_url or settings.database_url
    return configured or database_url(settings, role=OWNER)


def reader_url(settings: Settings) -> str:
    """The results store as the role that can only select."""
    if settings.reader_database_url:
        return settings.reader_database_url
    if settings.database_url:
        read_only = {"options": "-c default_transaction_read_only=on"}
        url = make_url(settings.database_url).update_query_dict(read_only)
        return url.render_as_string(hide_password=False)
    return database_url(settings, role=READER)


@contextmanager
def write_session(settings: Settings) -> Iterator[Session]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    with Session(_engine(writer_url(settings))) as session, session.begin():
        yield session


@contextmanager
def read_session(settings: Settings) -> Iterator[Session]:
    """One read-only transaction."""
    with Session(_engine(reader_url(settings))) as session:
        yield session


class Lock:
    """An advisory lock that is held by a connection of its own, and falls with it.

    What is written through `writing` is written only while the lock is held: a worker that was cut
    off or paused, and whose lock another has by now, can change nothing any more.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction on the connection that holds the lock.

        Raises:
            LockLostError: The connection is gone, and the lock with it; nothing was written.
        """
        lost = LockLostError(
            f"The connection to the results store that made this process the {self._name} is gone, "
            "and another may be it by now: this one stops here and writes nothing more."
        )
        if self._connection.invalidated:  # SQLAlchemy would open another, that holds no lock
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
    """Hold an advisory lock through many transactions; it falls when the process dies."""
    engine = create_engine(writer_url(settings), poolclass=NullPool)
    query = text("select pg_try_advisory_lock(hashtextextended(:name, 0))")
    try:
        with engine.connect() as connection:
            for setting in _DEAD_PEERS:
                connection.execute(text(f"set {setting}"))
            waited = 0
            while not connection.execute(query, {"name": name}).scalar_one():
                connection.rollback()
                if waited % 30 == 0:
                    logger.info("another process is the %s; waiting for it", name)
                waited += 1
                time.sleep(1)
            connection.commit()  # the lock outlives its transaction
            yield Lock(connection, name)
    finally:
        engine.dispose()


_DEAD_PEERS = (
    "tcp_keepalives_idle = 30",
    "tcp_keepalives_interval = 10",
    "tcp_keepalives_count = 3",
)
"""The server lets go after a minute of a machine that vanished; otherwise after two hours."""


def transaction_lock(session: Session, name: str) -> None:
    """Wait for the advisory lock of this name and hold it until the transaction ends."""
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
        hide_parameters=True,  # they name patients and callers, and errors go to logs
        connect_args={
            "connect_timeout": 10,
            "tcp_user_timeout": 60_000,
            # A host that is gone while it is asked is noticed after a minute, not after two hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        },
    )
    _engines.append(engine)
    return engine


def dispose_engines() -> None:
    """Close the connections that this process keeps for later."""
    for engine in _engines:
        engine.dispose()
