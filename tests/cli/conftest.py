"""Homes for the command line: an empty one for each test, and one with a trained run for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.factories.command_line import CommandLine, TrainedHome
from tests.factories.postgres import TEMPLATE, new_database
from tumorml.results.local_postgres import READER, WRITER, database_url
from tumorml.results.session import read_session
from tumorml.settings import PROJECT_ROOT, Settings

DAG_TESTS = PROJECT_ROOT / "tests" / "dags"


@pytest.fixture
def command_line(settings: Settings) -> CommandLine:
    """The command line of an empty home."""
    return CommandLine(settings)


@pytest.fixture(scope="session")
def trained_home(
    postgres: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrainedHome]:
    """One trained run on synthetic scans, shared by all tests of the command line."""
    folder = tmp_path_factory.mktemp("command-line")
    policy = folder / "policy.toml"
    lenient = (DAG_TESTS / "lenient.toml").read_text()
    policy.write_text(lenient.replace("always = false", "always = true"))
    with new_database(postgres, TEMPLATE) as name:
        settings = Settings(
            home=folder / "home",
            database_url=database_url(postgres, name, WRITER),
            reader_database_url=database_url(postgres, name, READER),
            settle_seconds=0,
            default_recipe=str(DAG_TESTS / "tiny.toml"),
            promotion_policy=policy,
            min_training_scans_per_label=1,
        )
        command_line = CommandLine(settings)
        yield _train(folder, settings, command_line)


def _train(folder: Path, settings: Settings, command_line: CommandLine) -> TrainedHome:
    drop = folder / "synthetic"
    command_line.succeed("demo", str(drop), "--patients", "8")
    command_line.succeed("drop", str(drop))
    ingest = command_line.succeed("ingest")
    retrain = command_line.succeed("retrain", "--epochs", "2")
    with read_session(settings) as session:
        verdict_id, run_id = session.execute(text("select id, run_id from verdict")).one()
    return TrainedHome(settings, command_line, ingest, retrain, run_id, verdict_id)
