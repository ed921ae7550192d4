from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tumorml.results.local_postgres import is_running, stop_local_postgres
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.results.session import write_session
from tumorml.settings import PROJECT_ROOT, Settings

COMMAND = """
import time
from sqlalchemy import text
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.results.session import session_lock, write_session
from tumorml.settings import Settings
from tumorml.training.end_on_sigterm import end_on_sigterm

settings = Settings()
with results_store(settings), end_on_sigterm("again"):
    migrate(settings)
    with session_lock(settings, "it"), write_session(settings) as session:
        session.execute(text("select 1"))
        print("working", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    # Under root, Postgres runs as a user without access to pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="tumorml-tests-"))
    yield folder
    stop_local_postgres(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_postgres_stops_with_an_interrupted_command(number: signal.Signals, home: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TUMORML")}
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        cwd=PROJECT_ROOT,
        env={**environment, "TUMORML_HOME": str(home)},
        # A test runner in the background ignores SIGINT, and its children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and "working" in process.stdout.readline()
        process.send_signal(number)
        process.wait(timeout=30)
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGTERM)
    assert not is_running(home)


def test_postgres_keeps_running_while_others_use_it(home: Path) -> None:
    settings = Settings(home=home)
    other = """
import sys
from tumorml.results.session import write_session
from tumorml.settings import Settings
with write_session(Settings()) as session:
    session.connection()
    print("working", flush=True)
    sys.stdin.readline()
"""
    with results_store(settings):
        migrate(settings)
        process = subprocess.Popen(
            [sys.executable, "-c", other],
            cwd=PROJECT_ROOT,
            env={**os.environ, "TUMORML_HOME": str(home), "PGAPPNAME": "other"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and "working" in process.stdout.readline()
    assert is_running(home)
    with write_session(settings) as session:
        session.connection()
    process.communicate("\n")
