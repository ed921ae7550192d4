from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tumorml.datasets.resize import PREPROCESSING
from tumorml.results.migrate import alembic_config, migrate
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import ModelVersion, Run
from tumorml.settings import Settings

ROWS_OF_REVISION_0005 = (
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
)


def test_migrations_create_the_tables_of_the_models(empty_database: Settings) -> None:
    migrate(empty_database)
    migrate(empty_database)
    command.check(alembic_config(empty_database))


def test_rows_of_revision_0005_survive_upgrade_and_downgrade(empty_database: Settings) -> None:
    command.upgrade(alembic_config(empty_database), "0005")
    with write_session(empty_database) as session:
        for statement in ROWS_OF_REVISION_0005:
            session.execute(text(statement))
    migrate(empty_database)
    with read_session(empty_database) as session:
        assert session.get_one(ModelVersion, "m").preprocessing == PREPROCESSING
        assert session.get_one(Run, "q").champion_id == "m"
        assert session.execute(text("select verdicts from policy_history")).scalar_one() == 1
    command.downgrade(alembic_config(empty_database), "0005")
    migrate(empty_database)
    with read_session(empty_database) as session:
        verdict = session.execute(text("select run, verdict from run_summary where run = 'q'"))
        assert verdict.one() == ("q", "kept")


def test_reader_role_can_only_select(settings: Settings) -> None:
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
