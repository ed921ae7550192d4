"""The supervisor, with real processes that do nothing but last."""

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
from tumorml.service.local.child_processes import ChildCommand, kill_leftovers, write_records
from tumorml.service.local.supervisor import CRASHES_ALLOWED, Supervisor

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
WITH_A_CHILD_IN_ITS_OWN_GROUP = (
    "import os, subprocess, time;"
    "subprocess.Popen(['sleep', '600'], preexec_fn=lambda: os.setpgid(0, 0)); time.sleep(600)"
)


def command(folder: Path, name: str, *arguments: str, grace_seconds: float = 8.0) -> ChildCommand:
    return ChildCommand(
        name, arguments, dict(os.environ), folder, folder / f"{name}.log", grace_seconds
    )


def python(folder: Path, name: str, code: str) -> ChildCommand:
    return command(folder, name, sys.executable, "-c", code)


def sleeps(session: int) -> list[int]:
    """Live processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (OSError, psutil.Error):
            continue
    return found


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)


@pytest.fixture
def supervise(
    tmp_path: Path,
) -> Iterator[Callable[..., tuple[Supervisor, list[str]]]]:
    started: list[Supervisor] = []

    def start(*commands: ChildCommand) -> tuple[Supervisor, list[str]]:
        said: list[str] = []
        supervisor = Supervisor(commands, tmp_path / "children.json", said.append)
        started.append(supervisor)
        supervisor.start()
        return supervisor, said

    yield start
    for supervisor in started:
        supervisor.stop(grace_seconds=0.0)


def test_a_killed_child_is_reported_and_started_again(supervise, tmp_path) -> None:
    supervisor, said = supervise(command(tmp_path, "a", "sleep", "600"))
    first = supervisor.pids()["a"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(first) or "a" not in supervisor.pids())
    supervisor.watch()
    assert "a was killed by signal 9" in said[0]
    assert "a.log" in said[0]

    def back() -> bool:
        supervisor.watch()
        return "a" in supervisor.pids()

    wait_until(back)
    assert supervisor.pids()["a"] != first


def test_what_a_dead_child_had_started_is_killed_before_it_is_started_again(
    supervise, tmp_path
) -> None:
    supervisor, _ = supervise(python(tmp_path, "a", WITH_A_CHILD_IN_ITS_OWN_GROUP))
    leader = supervisor.pids()["a"]
    wait_until(lambda: len(sleeps(leader)) == 2)
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: "a" not in supervisor.pids())
    supervisor.watch()
    assert sleeps(leader) == []


def test_a_child_that_always_crashes_is_given_up_with_its_last_words(
    supervise, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("tumorml.service.local.supervisor._FIRST_BACKOFF_SECONDS", 0.0)
    supervisor, said = supervise(python(tmp_path, "a", "raise SystemExit('no such table')"))

    def watch() -> None:
        for _ in range(1000):
            supervisor.watch()
            time.sleep(0.02)

    with pytest.raises(
        TumorMLError, match=r"(?s)a ended with exit status 1.*no such table.*a\.log"
    ):
        watch()
    assert len(said) == CRASHES_ALLOWED


def test_stopping_ends_everything_within_the_grace_even_what_is_deaf(supervise, tmp_path) -> None:
    supervisor, _ = supervise(
        command(tmp_path, "polite", "sleep", "600"),
        python(tmp_path, "deaf", DEAF),
        python(tmp_path, "parent", WITH_A_CHILD_IN_ITS_OWN_GROUP),
    )
    sessions = list(supervisor.pids().values())
    wait_until(lambda: len(sleeps(sessions[2])) == 2)
    started = time.monotonic()
    supervisor.stop(grace_seconds=1.0)
    assert time.monotonic() - started < 3.0
    assert [sleeps(session) for session in sessions] == [[], [], []]
    assert not (tmp_path / "children.json").exists()


def test_a_child_with_nothing_to_lose_does_not_hold_up_the_stop(supervise, tmp_path) -> None:
    supervisor, _ = supervise(
        command(tmp_path, "polite", "sleep", "600"),
        command(tmp_path, "deaf", sys.executable, "-c", DEAF, grace_seconds=0.3),
    )
    time.sleep(0.5)
    started = time.monotonic()
    supervisor.stop(grace_seconds=8.0)
    assert time.monotonic() - started < 2.0


def test_a_second_request_to_stop_kills_at_once(supervise, tmp_path) -> None:
    supervisor, _ = supervise(python(tmp_path, "deaf", DEAF), python(tmp_path, "deaf2", DEAF))
    time.sleep(0.5)
    started = time.monotonic()
    supervisor.stop(grace_seconds=8.0, urgent=lambda: time.monotonic() - started > 0.2)
    assert time.monotonic() - started < 2.0


def test_children_do_not_hear_the_terminals_ctrl_c(supervise, tmp_path) -> None:
    supervisor, _ = supervise(command(tmp_path, "a", "sleep", "600"))
    pid = supervisor.pids()["a"]
    assert os.getsid(pid) == os.getpgid(pid) == pid != os.getsid(0)


def test_what_a_killed_supervisor_left_behind_is_killed_by_the_next(tmp_path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from tests.service.local.test_supervisor import *\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "s = Supervisor([python(folder, 'a', WITH_A_CHILD_IN_ITS_OWN_GROUP)],"
        " folder / 'children.json', print)\n"
        "s.start(); time.sleep(600)\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root)
    record = tmp_path / "children.json"
    wait_until(record.exists, 30)
    leader = json.loads(record.read_text())["children"][0]["pid"]
    wait_until(lambda: len(sleeps(leader)) == 2)
    parent.kill()
    parent.wait()
    assert len(sleeps(leader)) == 2
    assert kill_leftovers(record) == 2
    assert sleeps(leader) == []
    assert kill_leftovers(record) == 0


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(tmp_path) -> None:
    from tumorml.service.local.child_processes import ChildRecord

    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        record = ChildRecord("a", stranger.pid, psutil.Process(stranger.pid).create_time() - 50)
        write_records(tmp_path / "children.json", [record])
        assert kill_leftovers(tmp_path / "children.json") == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
