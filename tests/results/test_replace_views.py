from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from tumorml.errors import TumorMLError
from tumorml.results import replace_views
from tumorml.results.migrate import alembic_config, migrate
from tumorml.results.session import write_session
from tumorml.settings import Settings

LAST_REVISION_WITH_VIEWS = "0012"
"""Migrations created the views themselves up to this revision."""

TABLE_NAMES = {
    "batch_summary": {"b": "batch", "f": "file"},
    "champion_history": {"c": "champion", "m": "model_version", "r": "run", "e": "evaluation"},
    "run_summary": {
        "r": "run",
        "m": "model_version",
        "v": "verdict",
        "e": "evaluation",
        "e_1": "epoch",
    },
    "prediction_history": {"p": "prediction", "f": "file"},
    "disagreement": {"v": "verdict", "a": "challenger", "b": "champion"},
    "label_conflict": {
        "decided": "settled",
        "place": "first_file",
        "a": "one",
        "b": "other",
        "s": "current_label",
        "t": "twin",
        "p": "first_file",
        "d": "settled",
        "l": "scan_label",
    },
    "prediction_provenance": {
        "p": "prediction",
        "m": "model_version",
        "r": "training",
        "s": "snapshot",
        "v": "verdict",
    },
    "policy_history": {},
    "run_data": {
        "r": "run",
        "s": "snapshot_scan",
        "f": "file",
        "b": "batch",
        "taken": "snapshot",
    },
}
"""Views whose query is the same as in revision 0012: old aliases and those of the current files.

Remove a view from here when you change its result.
"""


def columns(settings: Settings) -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns of each view, in order."""
    found: dict[str, list[tuple[str, str]]] = {}
    for view, column, kind in query(
        settings,
        "select relname, attname, format_type(atttypid, atttypmod) from pg_attribute "
        "join pg_class on pg_class.oid = attrelid "
        "where relkind = 'v' and relnamespace = 'public'::regnamespace order by relname, attnum",
    ):
        found.setdefault(view, []).append((column, kind))
    return found


def definitions(settings: Settings) -> dict[str, str]:
    """The query of each view, as Postgres prints it."""
    rows = query(settings, "select viewname, definition from pg_views where " + IN_PUBLIC)
    return {str(view): str(definition) for view, definition in rows}


def grants(settings: Settings) -> dict[str, set[str]]:
    """The access rights of each view."""
    rows = query(
        settings,
        "select relname, relacl from pg_class "
        "where relkind = 'v' and relnamespace = 'public'::regnamespace",
    )
    return {view: set(rights.strip("{}").split(",")) for view, rights in rows}


IN_PUBLIC = "schemaname = 'public'"


def query(settings: Settings, sql: str) -> list[tuple[str, ...]]:
    with write_session(settings) as session:
        return [tuple(row) for row in session.execute(text(sql))]


def with_names(definition: str, names: dict[str, str]) -> str:
    """Return a definition with replaced aliases; one that equals its table's name is dropped."""
    aliased = (
        re.sub(
            r"\b(?<!')(" + "|".join(names) + r")\b(?!')", lambda found: names[found[0]], definition
        )
        if names
        else definition
    )
    return re.sub(r"\b(\w+) \1\b", r"\1", re.sub(r"\s+", " ", aliased))


def test_every_view_has_a_file_and_every_file_a_view() -> None:
    files = {path.stem for path in replace_views.FOLDER.glob("*.sql")}
    assert files == set(replace_views.VIEWS)
    assert len(replace_views.VIEWS) == len(files)


def test_view_files_match_the_views_of_revision_0012(empty_database: Settings) -> None:
    command.upgrade(alembic_config(empty_database), LAST_REVISION_WITH_VIEWS)
    old_columns, old_definitions = columns(empty_database), definitions(empty_database)
    old_grants = grants(empty_database)
    migrate(empty_database)
    new_columns, new_definitions = columns(empty_database), definitions(empty_database)
    assert grants(empty_database) == old_grants
    assert set(old_columns) <= set(new_columns)
    for view, old in old_columns.items():
        assert new_columns[view][: len(old)] == old, view
    for view, names in TABLE_NAMES.items():
        assert with_names(new_definitions[view], {}) == with_names(old_definitions[view], names), (
            view
        )


@pytest.mark.parametrize("revision", [f"{number:04}" for number in range(1, 14)])
def test_database_of_any_revision_gets_the_views_of_the_files(
    revision: str, empty_database: Settings
) -> None:
    command.upgrade(alembic_config(empty_database), revision)
    migrate(empty_database)
    assert set(definitions(empty_database)) == set(replace_views.VIEWS)
    origins = query(
        empty_database,
        "select obj_description(oid, 'pg_class') from pg_class "
        "where relkind = 'v' and relnamespace = 'public'::regnamespace",
    )
    assert len(origins) == len(replace_views.VIEWS)
    assert all(re.search(r"views/\w+\.sql, SHA-256 [0-9a-f]{64}$", row[0]) for row in origins)


def test_downgrade_restores_the_views_of_0012(empty_database: Settings) -> None:
    command.upgrade(alembic_config(empty_database), LAST_REVISION_WITH_VIEWS)
    before = columns(empty_database), definitions(empty_database), grants(empty_database)
    migrate(empty_database)
    command.downgrade(alembic_config(empty_database), LAST_REVISION_WITH_VIEWS)
    after = columns(empty_database), definitions(empty_database), grants(empty_database)
    assert after == before


@pytest.fixture
def view_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the view files that a test may change."""
    folder = tmp_path / "views"
    folder.mkdir()
    for path in replace_views.FOLDER.glob("*.sql"):
        (folder / path.name).write_text(path.read_text())
    monkeypatch.setattr(replace_views, "FOLDER", folder)
    return folder


def test_changed_view_file_is_applied_at_the_next_migration(
    empty_database: Settings, view_files: Path
) -> None:
    migrate(empty_database)
    file = view_files / "policy_history.sql"
    file.write_text(file.read_text().replace("group by", "where outcome <> '100% %s :x' group by"))
    migrate(empty_database)
    assert "'100% %s :x'" in definitions(empty_database)["policy_history"]


def test_removed_view_file_drops_the_view(
    empty_database: Settings, view_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_database)
    kept = tuple(name for name in replace_views.VIEWS if name != "run_data")
    monkeypatch.setattr(replace_views, "VIEWS", kept)
    migrate(empty_database)
    assert set(definitions(empty_database)) == set(kept)


def test_view_can_select_from_an_earlier_view(
    empty_database: Settings, view_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (view_files / "promotion.sql").write_text(
        "create view promotion as select run from run_summary where verdict = 'promoted'"
    )
    monkeypatch.setattr(replace_views, "VIEWS", (*replace_views.VIEWS, "promotion"))
    migrate(empty_database)
    file = view_files / "run_summary.sql"
    file.write_text(file.read_text() + "-- changed\n")
    migrate(empty_database)
    assert "promotion" in definitions(empty_database)


def test_unchanged_view_files_leave_the_views_alone(empty_database: Settings) -> None:
    migrate(empty_database)
    ids = "select viewname, viewname::regclass::oid::text from pg_views where " + IN_PUBLIC
    before = query(empty_database, ids)
    migrate(empty_database)
    command.check(alembic_config(empty_database))
    assert query(empty_database, ids) == before


def test_view_that_another_view_uses_is_named_in_the_error(
    empty_database: Settings, view_files: Path
) -> None:
    migrate(empty_database)
    dependent_view = "create view of_a_person as select run from run_summary"
    with write_session(empty_database) as session:
        session.execute(text(dependent_view))
    file = view_files / "run_summary.sql"
    file.write_text(file.read_text() + "-- changed\n")
    with pytest.raises(TumorMLError, match="view of_a_person depends on view run_summary"):
        migrate(empty_database)
    assert set(definitions(empty_database)) == {*replace_views.VIEWS, "of_a_person"}
