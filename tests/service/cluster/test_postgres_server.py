"""Creation of roles and databases on a user's own Postgres server, with a real Postgres."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from tests.factories.postgres import run_as_owner
from tumorml.errors import TumorMLError
from tumorml.results.local_postgres import OWNER, READER, WRITER, database_url
from tumorml.results.migrate import migrate
from tumorml.results.session import read_session, write_session
from tumorml.service.cluster.postgres_server import create_roles_and_databases
from tumorml.settings import Settings


@pytest.fixture
def names() -> dict[str, str]:
    """Names of roles and databases that are unique to a test."""
    suffix = uuid.uuid4().hex[:8]
    return {name: f"{name}_{suffix}" for name in ("owns", "writes", "reads", "airflow", "results")}


@pytest.fixture
def server(postgres: Settings, names: dict[str, str], tmp_path: Path) -> Iterator[Settings]:
    def url(role: str, database: str) -> str:
        local = make_url(database_url(postgres, database, role)).set(password="secret of " + role)
        return local.render_as_string(hide_password=False)

    yield Settings(
        home=tmp_path,
        database_url=url(names["writes"], names["results"]),
        reader_database_url=url(names["reads"], names["results"]),
        owner_database_url=url(OWNER, names["results"]),
    )
    for name in ("results", "airflow"):
        run_as_owner(postgres, f"drop database if exists {names[name]} with (force)")
    for name in ("writes", "reads", "airflow", "owns"):
        run_as_owner(postgres, f"drop role if exists {names[name]}")


def airflow_url(settings: Settings, names: dict[str, str]) -> str:
    owner: URL = make_url(str(settings.owner_database_url))
    return owner.set(username=names["airflow"], database=names["airflow"]).render_as_string(False)


def with_unprivileged_owner(
    postgres: Settings, settings: Settings, names: dict[str, str]
) -> Settings:
    """Return settings whose owner may create neither roles nor databases."""
    run_as_owner(postgres, f"create role {names['owns']} login")
    owner = make_url(str(settings.owner_database_url)).set(username=names["owns"])
    return settings.model_copy(
        update={"owner_database_url": owner.render_as_string(hide_password=False)}
    )


def test_custom_roles_can_read_and_write_only(server: Settings, names: dict[str, str]) -> None:
    for _ in range(2):
        create_roles_and_databases(server, airflow_url(server, names))
        migrate(server)
    with write_session(server) as session:
        assert session.scalar(text("select current_user")) == names["writes"]
        session.execute(
            text("insert into api_key (name, sha256, role) values ('a', 'b', 'reader')")
        )
    with read_session(server) as session:
        assert session.scalar(text("select current_user")) == names["reads"]
        assert session.scalar(text("select count(*) from api_key")) == 1
        with pytest.raises(DBAPIError, match="permission denied"):
            session.execute(text("delete from api_key"))
    with (
        write_session(server) as session,
        pytest.raises(DBAPIError, match="must be owner"),
    ):
        session.execute(text("drop table api_key"))


def test_owner_without_superuser_rights_is_enough(
    postgres: Settings, server: Settings, names: dict[str, str]
) -> None:
    run_as_owner(postgres, f"create role {names['owns']} login createrole createdb")
    for group in (WRITER, READER):
        run_as_owner(postgres, f"grant {group} to {names['owns']} with admin option")
    owner = make_url(str(server.owner_database_url)).set(username=names["owns"])
    managed = server.model_copy(
        update={"owner_database_url": owner.render_as_string(hide_password=False)}
    )
    create_roles_and_databases(managed, airflow_url(managed, names))
    migrate(managed)
    with read_session(managed) as session:
        assert session.scalar(text("select count(*) from champion_history")) == 0


def test_airflow_role_owns_its_database(server: Settings, names: dict[str, str]) -> None:
    url = airflow_url(server, names)
    create_roles_and_databases(server, url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("create table mine (id int)"))
    engine.dispose()


def test_missing_permission_error_names_the_setting(
    postgres: Settings, server: Settings, names: dict[str, str]
) -> None:
    unprivileged = with_unprivileged_owner(postgres, server, names)
    with pytest.raises(TumorMLError, match="TUMORML_OWNER_DATABASE_URL to a role that may"):
        create_roles_and_databases(unprivileged, airflow_url(server, names))
    create_roles_and_databases(server, airflow_url(server, names))
    run_as_owner(postgres, f"revoke {WRITER} from {names['writes']}")
    with pytest.raises(TumorMLError, match="TUMORML_OWNER_DATABASE_URL to a role that may"):
        create_roles_and_databases(unprivileged, airflow_url(server, names))


def test_unprivileged_owner_is_enough_when_all_exists(
    postgres: Settings, server: Settings, names: dict[str, str]
) -> None:
    create_roles_and_databases(server, airflow_url(server, names))
    unprivileged = with_unprivileged_owner(postgres, server, names)
    run_as_owner(postgres, f"alter database {names['results']} owner to {names['owns']}")
    run_as_owner(postgres, f"grant {WRITER} to {names['owns']}")
    create_roles_and_databases(unprivileged, airflow_url(server, names))
    migrate(unprivileged)
    with read_session(unprivileged) as session:
        assert session.scalar(text("select count(*) from champion_history")) == 0
