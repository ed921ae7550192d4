"""Command lines and SQL queries of the documentation are valid."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.docs.pages import PAGES, ROOT_PAGES, page_id, shell_lines
from tumorml.cli import app
from tumorml.settings import Settings

LINES = [
    (page_id(page), line[line.index("tumorml ") :])
    for page in [*ROOT_PAGES, *PAGES]
    for line in shell_lines(page)
    if re.match(r"(docker compose (exec|run) .*?|\.venv/bin/)?tumorml ", line)
]


def words_of(line: str) -> list[str]:
    """Return the words of a command; `<run id>` becomes one word, redirections end it."""
    line = re.sub(r"<([^<>]*)>", lambda match: match[1].replace(" ", "-"), line)
    words = shlex.split(line, comments=True)[1:]
    for end in (">", "|", "&&"):
        words = words[: words.index(end)] if end in words else words
    return words


def test_docs_have_command_lines() -> None:
    assert len(LINES) > 40


@pytest.mark.parametrize(("page", "line"), LINES)
def test_command_line_parses(page: str, line: str) -> None:
    words, command = words_of(line), typer.main.get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        commands: dict[str, Any] = command.commands
        assert words[0] in commands, f"{page}: there is no command {words[0]}"
        command, words = commands[words[0]], words[1:]
    command.make_context("tumorml", words).close()


def queries() -> list[tuple[str, str]]:
    return [
        (page, next(word for word in words_of(line)[1:] if not word.startswith("-")))
        for page, line in LINES
        if words_of(line)[0] == "sql"
    ]


def test_sql_queries_are_valid(settings: Settings) -> None:
    assert settings.reader_database_url is not None
    engine = create_engine(settings.reader_database_url)
    with engine.connect() as reader:
        wrong = [f"{page}: {query}" for page, query in queries() if not is_valid(reader, query)]
    engine.dispose()
    assert len(queries()) > 15
    assert wrong == []


def is_valid(reader: Connection, query: str) -> bool:
    try:
        reader.execute(text("explain " + query.replace(":", "\\:")))
    except DBAPIError:
        return False
    finally:
        reader.rollback()
    return True
