"""Locks of homes and checks of ports: a second service on the same home or port is rejected."""

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
    "    print('locked', flush=True); time.sleep(600)"
)


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_second_service_error_has_pid_and_url_of_first(holder, tmp_path) -> None:
    with pytest.raises(TumorMLError, match=rf"process {holder.pid}, http://127.0.0.1:8123"):
        up(Settings(home=tmp_path, airflow_port=8124))


def test_lock_of_killed_service_is_released(holder, tmp_path) -> None:
    holder.kill()
    holder.wait()
    with home_lock(tmp_path, "http://127.0.0.1:1"):
        pass


def test_child_of_holder_does_not_keep_the_lock(tmp_path) -> None:
    with home_lock(tmp_path, "x"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        time.sleep(0.1)
        with home_lock(tmp_path, "y"):
            pass
    finally:
        child.kill()
        child.wait()


def test_used_port_error_names_process_and_setting(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TumorMLError) as refusal:
            up(Settings(home=tmp_path, airflow_port=port))
    message = str(refusal.value)
    assert f"Port {port}" in message
    assert f"process {os.getpid()}" in message
    assert "TUMORML_AIRFLOW_PORT" in message


def test_port_used_on_all_addresses_is_rejected() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TumorMLError, match=f"Port {port} .* in use by process {os.getpid()}"):
            require_free_port(port, "X", "API")


def test_free_port_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    require_free_port(port, "X", "API")


def test_port_above_65535_gives_an_error_message() -> None:
    with pytest.raises(TumorMLError, match="Port 70000"):
        require_free_port(70_000, "X", "API")
