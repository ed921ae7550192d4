"""Restart and stop of child processes by the supervisor, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tumorml.errors import TumorMLError
from tumorml.service.local.supervision.child_processes import (
    ChildCommand,
    ChildRecord,
    kill_leftovers,
    write_records,
)
from tumorml.service.local.supervision.supervisor import CRASHES_ALLOWED, Supervisor
from tumorml.settings import PROJECT_ROOT

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
)
STARTS_A_CHILD = (
    "import os, subprocess, time;"
    "subprocess.Popen(['sleep', '600'], preexec_fn=lambda: os.setpgid(0, 0)); time.sleep(600)"
)


def command(folder: Path, name: str, *arguments: str, grace_seconds: float = 8.0) -> ChildCommand:
    return ChildCommand(
        name, arguments, dict(os.environ), folder, folder / f"{name}.log", grace_seconds
    )


def python(folder: Path, name: str, code: str) -> ChildCommand:
    return command(folder, name, sys.executable, "-c", code)


def live_pids(session: int) -> list[int]:
    """Return the live processes of a session."""
    pids = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                pids.append(process.pid)
        except (OSError, psutil.Error):
            continue
    return pids


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.02)


@pytest.fixture
def supervise(
    tmp_path: Path,
) -> Iterator[Callable[..., tuple[Supervisor, list[str]]]]:
    started: list[Supervisor] = []

    def start(*commands: ChildCommand) -> tuple[Supervisor, list[str]]:
        messages: list[str] = []
        supervisor = Supervisor(commands, tmp_path / "children.json", messages.append)
        started.append(supervisor)
        supervisor.start()
        return supervisor, messages

    yield start
    for supervisor in started:
        supervisor.stop(grace_seconds=0.0)


def test_killed_child_is_reported_and_restarted(supervise, tmp_path) -> None:
    supervisor, messages = supervise(command(tmp_path, "a", "sleep", "600"))
    first = supervisor.pids()["a"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(first) or "a" not in supervisor.pids())
    supervisor.watch()
    assert "a was killed by signal 9" in messages[0]
    assert "a.log" in messages[0]

    def is_restarted() -> bool:
        supervisor.watch()
        return "a" in supervisor.pids()

    wait_until(is_restarted)
    assert supervisor.pids()["a"] != first


def test_descendants_of_dead_child_are_killed_before_restart(supervise, tmp_path) -> None:
    supervisor, _ = supervise(python(tmp_path, "a", STARTS_A_CHILD))
    leader = supervisor.pids()["a"]
    wait_until(lambda: len(live_pids(leader)) == 2)
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: "a" not in supervisor.pids())
    supervisor.watch()
    assert live_pids(leader) == []


def test_error_of_crashing_child_has_its_last_log_lines(supervise, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tumorml.service.local.supervision.supervisor._FIRST_BACKOFF_SECONDS", 0.0)
    supervisor, messages = supervise(python(tmp_path, "a", "raise SystemExit('no such table')"))

    def watch() -> None:
        for _ in range(1000):
            supervisor.watch()
            time.sleep(0.02)

    with pytest.raises(TumorMLError, match=r"(?s)a ended with exit code 1.*no such table.*a\.log"):
        watch()
    assert len(messages) == CRASHES_ALLOWED


def test_stop_kills_children_that_ignore_sigterm(supervise, tmp_path) -> None:
    supervisor, _ = supervise(
        command(tmp_path, "polite", "sleep", "600"),
        python(tmp_path, "stubborn", IGNORES_SIGTERM),
        python(tmp_path, "parent", STARTS_A_CHILD),
    )
    sessions = list(supervisor.pids().values())
    wait_until(lambda: len(live_pids(sessions[2])) == 2)
    started = time.monotonic()
    supervisor.stop(grace_seconds=1.0)
    assert time.monotonic() - started < 3.0
    assert [live_pids(session) for session in sessions] == [[], [], []]
    assert not (tmp_path / "children.json").exists()


def test_child_with_short_grace_does_not_delay_stop(supervise, tmp_path) -> None:
    supervisor, _ = supervise(
        command(tmp_path, "polite", "sleep", "600"),
        command(tmp_path, "stubborn", sys.executable, "-c", IGNORES_SIGTERM, grace_seconds=0.3),
    )
    time.sleep(0.5)
    started = time.monotonic()
    supervisor.stop(grace_seconds=8.0)
    assert time.monotonic() - started < 2.0


def test_urgent_stop_kills_at_once(supervise, tmp_path) -> None:
    supervisor, _ = supervise(
        python(tmp_path, "stubborn", IGNORES_SIGTERM), python(tmp_path, "second", IGNORES_SIGTERM)
    )
    time.sleep(0.5)
    started = time.monotonic()
    supervisor.stop(grace_seconds=8.0, urgent=lambda: time.monotonic() - started > 0.2)
    assert time.monotonic() - started < 2.0


def test_child_leads_its_own_session_and_group(supervise, tmp_path) -> None:
    supervisor, _ = supervise(command(tmp_path, "a", "sleep", "600"))
    pid = supervisor.pids()["a"]
    assert os.getsid(pid) == os.getpgid(pid) == pid != os.getsid(0)


def test_leftovers_of_killed_supervisor_are_killed(tmp_path) -> None:
    code = (
        "import os, pathlib, sys, time\n"
        "from tumorml.service.local.supervision.child_processes import ChildCommand\n"
        "from tumorml.service.local.supervision.supervisor import Supervisor\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "arguments = [sys.executable, '-c', sys.argv[2]]\n"
        "command = ChildCommand('a', arguments, dict(os.environ), folder, folder / 'a.log')\n"
        "Supervisor([command], folder / 'children.json', print).start()\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), STARTS_A_CHILD], cwd=PROJECT_ROOT
    )
    record = tmp_path / "children.json"
    wait_until(record.exists, 30)
    leader = json.loads(record.read_text())["children"][0]["pid"]
    wait_until(lambda: len(live_pids(leader)) == 2)
    parent.kill()
    parent.wait()
    assert len(live_pids(leader)) == 2
    assert kill_leftovers(record) == 2
    assert live_pids(leader) == []
    assert kill_leftovers(record) == 0


def test_reused_pid_is_not_killed(tmp_path) -> None:
    other_process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        record = ChildRecord(
            "a", other_process.pid, psutil.Process(other_process.pid).create_time() - 50
        )
        write_records(tmp_path / "children.json", [record])
        assert kill_leftovers(tmp_path / "children.json") == 0
        assert other_process.poll() is None
    finally:
        other_process.kill()
        other_process.wait()
