"""The results store: schema, roles, partitions, bulk rows."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from tests.conftest import run_as_owner
from tumorml.datasets.resize import PREPROCESSING
from tumorml.results.bulk import copy_rows
from tumorml.results.local_postgres import OWNER, _forget_dead_server, database_url
from tumorml.results.migrate import alembic_config, migrate
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Batch, ModelVersion, Run
from tumorml.settings import Settings


def test_the_migrations_make_exactly_the_tables_of_the_models(postgres: Settings) -> None:
    run_as_owner(postgres, "create database migrated")
    url = database_url(postgres, "migrated", OWNER)
    settings = postgres.model_copy(update={"database_url": url})
    migrate(settings)
    migrate(settings)
    command.check(alembic_config(settings))


def test_rows_of_before_the_sixth_migration_come_through_it_and_back(postgres: Settings) -> None:
    run_as_owner(postgres, "create database upgraded")
    url = database_url(postgres, "upgraded", OWNER)
    settings = postgres.model_copy(update={"database_url": url})
    command.upgrade(alembic_config(settings), "0005")
    with write_session(settings) as session:
        for statement in (
            "insert into snapshot (id, task, counts, held_out, object_key) "
            "values ('s', 'binary', '{}', '{}', '')",
            "insert into run (id, task, snapshot_id, recipe, recipe_text, recipe_digest, seed, "
            "epochs, trigger) values ('r', 'binary', 's', '', '', '', 1, 1, ''), "
            "('q', 'binary', 's', '', '', '', 1, 1, '')",
            "insert into model_version (id, run_id, task, labels, input_size, parameters, "
            "object_key, sha256, size_bytes) values ('m', 'r', 'binary', '[]', 1, 1, '', '', 1), "
            "('n', 'q', 'binary', '[]', 1, 1, '', '', 1)",
            "insert into verdict (id, run_id, task, challenger_id, champion_id, outcome, reason, "
            "policy_text, policy_sha256) values ('v', 'q', 'binary', 'n', 'm', 'kept', '', '', '')",
        ):
            session.execute(text(statement))
    migrate(settings)
    with read_session(settings) as session:
        assert session.get_one(ModelVersion, "m").preprocessing == PREPROCESSING
        assert session.get_one(Run, "q").champion_id == "m"
        assert session.execute(text("select verdicts from policy_history")).scalar_one() == 1
    command.downgrade(alembic_config(settings), "0005")
    migrate(settings)


def test_the_reader_can_select_and_nothing_else(settings: Settings) -> None:
    with read_session(settings) as session:
        assert session.execute(text("select count(*) from batch_summary")).scalar_one() == 0
    with (
        read_session(settings) as session,
        pytest.raises(DBAPIError, match=r"read-only|permission"),
    ):
        session.execute(text("insert into batch (id, drop_name, fingerprint) values ('a','b','c')"))
    with read_session(settings) as session, pytest.raises(DBAPIError, match="permission denied"):
        session.execute(text("set transaction read write"))
        session.execute(text("delete from batch"))


def test_copied_rows_keep_json_nulls_and_commas_and_pass_over_conflicts(settings: Settings) -> None:
    rows = [
        {"id": "one", "drop_name": 'a,"b"\n', "fingerprint": "f", "validation": {"x": [1, None]}},
        {"id": r"\N", "drop_name": "", "fingerprint": "g", "validation": None},
    ]
    with write_session(settings) as session:
        assert copy_rows(session, Batch, rows) == 2
        assert copy_rows(session, Batch, rows, on_conflict_do_nothing=True) == 0
    with read_session(settings) as session:
        two, one = session.scalars(select(Batch).order_by(Batch.id.collate("C")))
        assert (one.drop_name, one.validation) == ('a,"b"\n', {"x": [1, None]})
        assert (two.drop_name, two.validation) == ("", None)


def test_each_month_of_predictions_gets_its_own_partition(settings: Settings) -> None:
    moment = datetime(2031, 5, 31, 23, 59, tzinfo=UTC)
    with write_session(settings) as session:
        for _ in range(2):
            name = session.execute(
                text("select ensure_prediction_partition(:moment)"), {"moment": moment}
            ).scalar_one()
            assert name == "prediction_2031_05"


def test_the_pid_file_of_a_dead_server_stops_nobody(settings: Settings) -> None:
    folder = settings.home / "postgres"
    folder.mkdir(parents=True)
    (folder / "postmaster.pid").write_text(f"{os.getpid()}\n")
    _forget_dead_server(folder)
    assert not (folder / "postmaster.pid").exists()
