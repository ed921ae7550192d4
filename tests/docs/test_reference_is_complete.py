"""Every setting, command, DAG and view is documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from sqlalchemy import create_engine, text

from tests.docs.pages import DOCS
from tumorml.cli import app
from tumorml.settings import PROJECT_ROOT, Settings


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented(name: str) -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    assert f"| `TUMORML_{name.upper()}` |" in page


def commands(group: Any, path: str = "tumorml") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{path} {name}"
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")


@pytest.mark.parametrize("command", list(commands(typer.main.get_command(app))))
def test_command_is_documented(command: str) -> None:
    assert f"### `{command}`\n" in (DOCS / "reference" / "cli.md").read_text()


def dags() -> Iterator[str]:
    for path in (PROJECT_ROOT / "dags").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                "dag(" in ast.unparse(decorator) for decorator in node.decorator_list
            ):
                yield node.name


def test_every_dag_is_documented() -> None:
    page = (DOCS / "reference" / "dags.md").read_text()
    names = sorted(dags())
    assert len(names) >= 4
    assert [name for name in names if f"| `{name}` |" not in page] == []


def test_every_view_is_documented(settings: Settings) -> None:
    assert settings.database_url is not None
    engine = create_engine(settings.database_url)
    with engine.connect() as connection:
        query = text(
            "select table_name from information_schema.views where table_schema = 'public'"
        )
        views = set(connection.execute(query).scalars())
    engine.dispose()
    reference = (DOCS / "reference" / "views.md").read_text()
    guide = (DOCS / "how-to" / "query-in-sql.md").read_text()
    assert len(views) >= 9
    assert [view for view in sorted(views) if f"\n## {view}\n" not in reference] == []
    assert [view for view in sorted(views) if f"`{view}`" not in guide] == []
