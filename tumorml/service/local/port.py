"""Is a TCP port of this machine free, and if not, whose is it?"""

from __future__ import annotations

import socket

import psutil

from tumorml.errors import TumorMLError


def require_free_port(port: int, variable: str, user: str, host: str = "127.0.0.1") -> None:
    """Raise unless `port` can be listened on.

    Args:
        port: TCP port, 1 to 65535.
        variable: The environment variable that chooses another port, for the message.
        user: What needs the port, for the message.
        host: On which address.

    Raises:
        TumorMLError: The port is taken, or may not be used by this user.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server itself will: what a stopped server's connections leave does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise TumorMLError(
                f"Port {port} cannot be used for the {user}: {_reason(port, error)}. "
                f"Stop what uses it, or choose another port with {variable}."
            ) from None


def _reason(port: int, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "this user may not open it"
    owner = _owner(port)
    if owner is None:
        return f"{error}" if isinstance(error, OverflowError) else "it is taken"
    return f"it is taken by process {owner.pid} ({owner.name()})"


def _owner(port: int) -> psutil.Process | None:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return psutil.Process(connection.pid)
    except psutil.Error:
        return None
    return None
