"""The frame of all pages: empty stores, errors, text formats and the command line."""

from __future__ import annotations

import pytest

from tests.factories.ui_pages import open_page, page_text
from tumorml.serving.ui.command import ui_command
from tumorml.serving.ui.widgets import escape_markdown
from tumorml.settings import Settings


@pytest.mark.parametrize("name", ["read", "champion", "history", "drop", "review"])
def test_page_opens_on_an_empty_store_with_the_notice(name: str, settings: Settings) -> None:
    text = page_text(open_page(name, settings))
    assert "not a medical device" in text
    assert ("There is no champion yet" in text) == (name in ("read", "champion"))


def test_unreachable_results_store_is_explained_on_the_page(settings: Settings) -> None:
    unreachable = "postgresql+psycopg2://nobody@127.0.0.1:9/nothing"
    page = open_page("history", settings.model_copy(update={"reader_database_url": unreachable}))
    assert "The results store does not respond" in page_text(page)


def test_markdown_in_names_is_escaped() -> None:
    assert escape_markdown("![a](b)_x") == r"\!\[a\]\(b\)\_x"


def test_ui_listens_on_loopback_and_protects_its_browser(settings: Settings) -> None:
    assert {
        "--server.address=127.0.0.1",
        "--server.port=8082",
        "--server.allowedHosts=127.0.0.1",
        "--server.enableXsrfProtection=true",
        "--browser.gatherUsageStats=false",
        "--server.maxUploadSize=64",
    } <= set(ui_command(settings))


def test_ui_accepts_only_the_configured_host_names(settings: Settings) -> None:
    command = ui_command(settings.model_copy(update={"ui_host": "::", "ui_names": "a.org, b.org"}))
    assert {"--server.address=::", "--server.allowedHosts=b.org"} <= set(command)
    assert "--server.allowedHosts=127.0.0.1" not in command
