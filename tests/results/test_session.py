from __future__ import annotations

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tumorml.errors import LockLostError
from tumorml.results.session import read_session, session_lock, write_session
from tumorml.settings import Settings

END_LOCK_HOLDERS = text(
    "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' "
    "and database = (select oid from pg_database where datname = current_database())"
)
INSERT = text("insert into api_key (name, role, sha256) values (:name, 'reader', :name)")


def names(settings: Settings) -> list[str]:
    with read_session(settings) as session:
        return list(session.execute(text("select name from api_key order by 1")).scalars())


def test_lost_lock_prevents_further_writes(settings: Settings) -> None:
    with session_lock(settings, "tester") as lock:
        with lock.writing() as session:
            session.execute(INSERT, {"name": "held"})
        with write_session(settings) as session:
            assert session.execute(END_LOCK_HOLDERS).scalar_one() == 1
        for _ in range(2):
            with pytest.raises(LockLostError, match="lock of the tester"), lock.writing() as own:
                own.execute(INSERT, {"name": "lost"})
    assert names(settings) == ["held"]


def test_failed_statement_keeps_the_lock(settings: Settings) -> None:
    with session_lock(settings, "tester") as lock:
        with pytest.raises(DBAPIError), lock.writing() as session:
            session.execute(text("select nonsense"))
        with lock.writing() as session:
            session.execute(INSERT, {"name": "held"})
    assert names(settings) == ["held"]


def test_second_holder_waits_for_the_first(settings: Settings) -> None:
    order: list[str] = []

    def second() -> None:
        with session_lock(settings, "tester"):
            order.append("second")

    with session_lock(settings, "tester"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(1.5)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
