"""Migrate the results store with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from tumorml.results.session import owner_url
from tumorml.settings import PROJECT_ROOT, Settings


def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrade the tables and views of the results store; concurrent callers wait for each other."""
    command.upgrade(alembic_config(settings), revision)


def alembic_config(settings: Settings) -> Config:
    """Return the Alembic configuration for the results store of some settings."""
    config = Config()
    config.set_main_option("script_location", str(PROJECT_ROOT / "migrations"))
    config.attributes["url"] = owner_url(settings)
    return config
