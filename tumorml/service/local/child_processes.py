"""Child processes in sessions of their own: starting, remembering and killing whole families."""

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
_LOG_BYTES = 20 * 1024**2


@dataclass(frozen=True)
class ChildCommand:
    """What to run as one child.

    Attributes:
        name: Unique among the children; names the log file.
        arguments: The command line, program first.
        environment: The child's whole environment.
        folder: Its working folder.
        log_path: Where its output is appended to.
        grace_seconds: How long it may take to end by itself; shorter for a child that loses
            nothing when it is killed.
        vital: Whether all end where it ends again and again.
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
    """A started child, told apart from a later process with the same pid by its start time.

    The child leads a session of its own, and nothing that it starts leaves that session, so
    `pid` also finds its descendants when the child itself is gone.
    """

    name: str
    pid: int
    create_time: float


def start_child(command: ChildCommand) -> subprocess.Popen[bytes]:
    """Start it as the leader of a new session, out of reach of the terminal's Ctrl-C.

    A log that has grown beyond `_LOG_BYTES` is put aside first; one earlier log is kept.
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


def record_of(name: str, pid: int) -> ChildRecord:
    """The record of a child that has just been started."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:
        created = time.time()
    return ChildRecord(name, pid, created)


def family(record: ChildRecord) -> list[int]:
    """Pids of every live process in the child's session, the child first if it lives.

    Empty when the pid has since been given to another program.
    """
    try:
        leader = psutil.Process(record.pid)
        if abs(leader.create_time() - record.create_time) > _CLOCK_SLACK_SECONDS:
            return []
    except psutil.Error:
        pass
    members = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if os.getsid(pid) == record.pid and (
                psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
            ):
                members.append(pid)
    return sorted(members, key=lambda pid: (pid != record.pid, pid))


def signal_family(record: ChildRecord, number: signal.Signals) -> int:
    """Send a signal to every process of the family; returns how many there were."""
    members = family(record)
    for pid in members:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return len(members)


def kill_family(
    record: ChildRecord, process: subprocess.Popen[bytes] | None = None, wait_seconds: float = 3.0
) -> int:
    """Kill the family, again until none is left or the wait is over; returns how many there were.

    Args:
        record: The family's head.
        process: Its handle, where this process is the parent, so that no zombie stays.
        wait_seconds: How long to wait for the kernel; a process stuck in it cannot be killed.
    """
    until = time.monotonic() + wait_seconds
    first = left = signal_family(record, signal.SIGKILL)
    while left and time.monotonic() < until:
        if process is not None:
            process.poll()
        time.sleep(0.02)
        left = signal_family(record, signal.SIGKILL)
    if process is not None:
        process.poll()
    return first


def write_records(path: Path, records: Sequence[ChildRecord]) -> None:
    """Remember the children, for a successor to clean up should this process be killed."""
    kept = {"boot_time": psutil.boot_time(), "children": [asdict(record) for record in records]}
    write_atomically(path, json.dumps(kept, indent=1).encode())


def read_records(path: Path) -> list[ChildRecord]:
    """The children that an earlier supervisor left behind; none after a reboot."""
    try:
        kept = json.loads(path.read_text())
        if abs(kept["boot_time"] - psutil.boot_time()) > 60:
            return []
        return [ChildRecord(**child) for child in kept["children"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def kill_leftovers(path: Path) -> int:
    """Kill what a supervisor that died itself left running; returns how many processes that was."""
    killed = sum(kill_family(record) for record in read_records(path))
    path.unlink(missing_ok=True)
    return killed


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-count:])
