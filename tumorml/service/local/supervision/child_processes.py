"""Child processes that lead their own sessions: start, record and kill them with descendants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tumorml.files import write_atomically

_CLOCK_SLACK_SECONDS = 1.0
_BOOT_TIME_SLACK_SECONDS = 60.0
_LOG_BYTES = 20 * 1024**2


@dataclass(frozen=True)
class ChildCommand:
    """Command of one child process.

    Attributes:
        name: Unique name among the children; also the name of its log file.
        arguments: Command line, program first.
        environment: Complete environment of the child.
        folder: Working folder.
        log_path: File to which standard output and standard error are appended.
        grace_seconds: Time between SIGTERM and SIGKILL; short for a child that loses nothing when
            it is killed.
        vital: Whether the supervisor gives up when this child keeps crashing.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log_path: Path
    grace_seconds: float = 8.0
    vital: bool = True


@dataclass(frozen=True)
class ChildRecord:
    """A started child; its start time distinguishes it from a later process with the same pid.

    The child leads its own session, and no descendant leaves that session. So `pid`, which is also
    the session id, finds the descendants even when the child itself has ended.
    """

    name: str
    pid: int
    create_time: float


def start_child(command: ChildCommand) -> subprocess.Popen[bytes]:
    """Start a child as the leader of a new session, so that Ctrl-C does not reach it.

    A log larger than 20 MiB is renamed to `*.earlier.log` first; one earlier log is kept.
    """
    command.log_path.parent.mkdir(parents=True, exist_ok=True)
    if command.log_path.exists() and command.log_path.stat().st_size > _LOG_BYTES:
        command.log_path.replace(command.log_path.with_suffix(".earlier.log"))
    with command.log_path.open("ab") as log:
        return subprocess.Popen(
            list(command.arguments),
            env=dict(command.environment),
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def record_child(name: str, pid: int) -> ChildRecord:
    """Return the record of a child that has just been started."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:
        created = time.time()
    return ChildRecord(name, pid, created)


def session_pids(record: ChildRecord) -> list[int]:
    """Return the pids of all live processes in the child's session, the child first.

    Empty when the pid belongs to another program by now.
    """
    try:
        leader = psutil.Process(record.pid)
        if abs(leader.create_time() - record.create_time) > _CLOCK_SLACK_SECONDS:
            return []
    except psutil.Error:
        pass
    pids = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if os.getsid(pid) == record.pid and (
                psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
            ):
                pids.append(pid)
    return sorted(pids, key=lambda pid: (pid != record.pid, pid))


def signal_session(record: ChildRecord, number: signal.Signals) -> int:
    """Send a signal to every process of the child's session; return their number."""
    pids = session_pids(record)
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return len(pids)


def kill_session(
    record: ChildRecord, process: subprocess.Popen[bytes] | None = None, wait_seconds: float = 3.0
) -> int:
    """Send SIGKILL to the child's session until it has ended; return its number of processes.

    Args:
        record: The child.
        process: Handle of the child if this process is its parent, so that no zombie remains.
        wait_seconds: Maximum wait; a process that is stuck in the kernel cannot be killed.
    """
    deadline = time.monotonic() + wait_seconds
    first_count = count = signal_session(record, signal.SIGKILL)
    while count and time.monotonic() < deadline:
        if process is not None:
            process.poll()
        time.sleep(0.02)
        count = signal_session(record, signal.SIGKILL)
    if process is not None:
        process.poll()
    return first_count


def write_records(path: Path, records: Sequence[ChildRecord]) -> None:
    """Store the children, so that the next start can kill them if this process is killed."""
    content = {
        "boot_time": psutil.boot_time(),
        "children": [asdict(record) for record in records],
    }
    write_atomically(path, json.dumps(content, indent=1).encode())


def read_records(path: Path) -> list[ChildRecord]:
    """Read the children of an earlier supervisor; empty after a reboot or without a valid file."""
    try:
        content = json.loads(path.read_text())
        if abs(content["boot_time"] - psutil.boot_time()) > _BOOT_TIME_SLACK_SECONDS:
            return []
        return [ChildRecord(**child) for child in content["children"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def kill_leftovers(path: Path) -> int:
    """Kill the children that a killed supervisor left running; return the number of processes."""
    killed = sum(kill_session(record) for record in read_records(path))
    path.unlink(missing_ok=True)
    return killed


def log_tail(path: Path, count: int = 15) -> str:
    """Return the last lines of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-count:])
