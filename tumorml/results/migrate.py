"""Brings the results store to the newest schema, with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from tumorml.results.session import owner_url
from tumorml.settings import PROJECT_ROOT, Settings


def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrade the results store; two callers at once are put in line by an advisory lock."""
    command.upgrade(alembic_config(settings), revision)


def alembic_config(settings: Settings) -> Config:
    """Alembic's configuration for the results store of these settings."""
    config = Config()
    config.set_main_option("script_location", str(PROJECT_ROOT / "migrations"))
    config.attributes["url"] = owner_url(settings)
    return config
