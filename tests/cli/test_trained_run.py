"""Commands on one trained run: retrain, approve, champion, status, reproduce, tune."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.factories.command_line import TrainedHome
from tumorml.results.session import read_session

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def approval(trained_home: TrainedHome) -> str:
    """Output of `approve` on the shared run; from then on the home has a champion."""
    arguments = ("approve", trained_home.run_id, "--reason", "looks right")
    return trained_home.command_line.succeed(*arguments).text


def test_ingest_prints_the_files_of_each_outcome(trained_home: TrainedHome) -> None:
    assert "synthetic" in trained_home.ingest.text
    assert "ingested" in trained_home.ingest.text


def test_retrain_prints_metrics_rules_and_the_next_command(trained_home: TrainedHome) -> None:
    output = trained_home.retrain.text
    assert f"run {trained_home.run_id}: waits for approval; report " in output
    assert "report.html" in output
    assert "│ test │" in output or "test │" in output
    assert f"tumorml approve {trained_home.verdict_id}" in output


def test_approve_promotes_the_challenger(trained_home: TrainedHome, approval: str) -> None:
    assert f"verdict {trained_home.verdict_id}: promoted; report " in approval
    assert "looks right" in approval


def test_second_answer_to_a_verdict_is_an_error(trained_home: TrainedHome, approval: str) -> None:
    message = trained_home.command_line.fail("approve", trained_home.run_id, "--reject")
    assert trained_home.verdict_id in message


def test_champion_lists_the_champion_and_its_run(trained_home: TrainedHome, approval: str) -> None:
    output = trained_home.command_line.succeed("champion").text
    assert trained_home.run_id in output
    assert "1 row" in output


def test_champion_can_be_pinned_and_unpinned(trained_home: TrainedHome, approval: str) -> None:
    pinned = trained_home.command_line.succeed("champion", "--pin", "--reason", "reader study")
    assert "reader study" in pinned.output
    assert "True" in pinned.output
    unpinned = trained_home.command_line.succeed("champion", "--unpin", "--reason", "study ended")
    assert "study ended" in unpinned.output


def test_change_of_champion_needs_a_reason(trained_home: TrainedHome, approval: str) -> None:
    assert "reason" in trained_home.command_line.fail("champion", "--pin")


def test_status_shows_champion_run_and_batch(trained_home: TrainedHome, approval: str) -> None:
    output = trained_home.command_line.succeed("status").text
    assert output.count(trained_home.run_id) == 1
    assert "synthetic" in output or "b-" in output
    assert "waiting for approval (tumorml approve)" in output


def test_retrain_without_new_data_plans_no_run(trained_home: TrainedHome, approval: str) -> None:
    output = trained_home.command_line.succeed("retrain", "--epochs", "2").text
    assert trained_home.run_id in output
    with read_session(trained_home.settings) as session:
        assert session.scalar(text("select count(*) from run")) == 1


def test_reproduce_gets_the_recorded_numbers(trained_home: TrainedHome) -> None:
    output = trained_home.command_line.succeed("reproduce", trained_home.run_id).text
    assert f"run {trained_home.run_id} was reproduced" in output
    assert "f1_macro" in output


def test_tune_writes_a_recipe_that_loads(trained_home: TrainedHome, tmp_path: Path) -> None:
    recipe = trained_home.settings.default_recipe
    tuned = tmp_path / "tuned.toml"
    arguments = ("tune", recipe, str(tuned), "--trials", "1", "--epochs", "1")
    output = trained_home.command_line.succeed(*arguments).text
    assert "validation log-loss" in output
    assert tomllib.loads(tuned.read_text())["network"] == "baseline-cnn"
