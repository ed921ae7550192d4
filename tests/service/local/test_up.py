"""`tumorml up` from start to stop: Postgres, Airflow, a synthetic drop, a first champion."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tumorml.results.server import results_store
from tumorml.results.session import read_session
from tumorml.settings import PROJECT_ROOT, Settings

RECIPE = PROJECT_ROOT / "tests" / "dags" / "tiny.toml"
POLICY = PROJECT_ROOT / "tests" / "dags" / "lenient.toml"


@pytest.mark.timeout(900)
def test_up_once_trains_a_first_champion_in_a_new_home(tmp_path: Path) -> None:
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        ports = []
        for probe in (first, second, third):
            probe.bind(("127.0.0.1", 0))
            ports.append(str(probe.getsockname()[1]))
    result = subprocess.run(
        [sys.executable, "-m", "tumorml.cli", "up", "--once"],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "TUMORML"))},
            "TUMORML_HOME": str(tmp_path),
            "TUMORML_AIRFLOW_PORT": ports[0],
            "TUMORML_API_PORT": ports[1],
            "TUMORML_UI_PORT": ports[2],
            "TUMORML_DEFAULT_RECIPE": str(RECIPE),
            "TUMORML_PROMOTION_POLICY": str(POLICY),
        },
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert result.returncode == 0, f"{result.stdout[-5000:]}\n{result.stderr[-5000:]}"
    settings = Settings(home=tmp_path)
    with results_store(settings), read_session(settings) as session:
        trigger, epochs = session.execute(
            text("select trigger, epochs_done from run_summary where verdict = 'promoted'")
        ).one()
        assert (trigger, epochs) == ("first-champion", 10)
        counts = session.execute(
            text("select outcome, count(*) as files from batch_file group by 1")
        )
        outcomes = {row.outcome: row.files for row in counts}
        assert outcomes["taken_in"] == 384 and "refused" not in outcomes
        # Postgres accepts each query that the start-up summary prints.
        queries = [
            line.split('"')[1] for line in result.stdout.splitlines() if "tumorml sql" in line
        ]
        assert len(queries) == 3
        for query in queries:
            assert session.execute(text(query)).all()
