"""One service for one home, one for one port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tumorml.errors import TumorMLError
from tumorml.service.local.home_lock import home_lock
from tumorml.service.local.port import require_free_port
from tumorml.service.local.up import up
from tumorml.settings import Settings

HOLD = (
    "import sys, time, pathlib; from tumorml.service.local.home_lock import home_lock\n"
    "with home_lock(pathlib.Path(sys.argv[1]), 'http://127.0.0.1:8123'):\n"
    "    print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_service_on_one_home_is_refused_with_the_firsts_pid_and_url(
    holder, tmp_path
) -> None:
    with pytest.raises(TumorMLError, match=rf"process {holder.pid}, http://127.0.0.1:8123"):
        up(Settings(home=tmp_path, airflow_port=8124))


def test_the_lock_of_a_killed_service_is_free(holder, tmp_path) -> None:
    holder.kill()
    holder.wait()
    with home_lock(tmp_path, "http://127.0.0.1:1"):
        pass


def test_a_child_of_the_holder_does_not_keep_the_lock(tmp_path) -> None:
    with home_lock(tmp_path, "x"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        time.sleep(0.1)
        with home_lock(tmp_path, "y"):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_taken_port_is_refused_with_its_owner_and_the_setting(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TumorMLError) as refusal:
            up(Settings(home=tmp_path, airflow_port=port))
    message = str(refusal.value)
    assert f"Port {port}" in message
    assert f"process {os.getpid()}" in message
    assert "TUMORML_AIRFLOW_PORT" in message


def test_a_port_that_another_program_has_on_all_addresses_is_refused() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(TumorMLError):
        require_free_port(server.getsockname()[1], "X", "API")


def test_a_free_port_is_taken_without_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    require_free_port(port, "X", "API")


def test_a_port_beyond_the_last_is_refused_in_words() -> None:
    with pytest.raises(TumorMLError, match="Port 70000"):
        require_free_port(70_000, "X", "API")
