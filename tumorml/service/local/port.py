"""Check that a TCP port of this machine is free; name the process that uses it."""

from __future__ import annotations

import socket

import psutil

from tumorml.errors import TumorMLError


def require_free_port(port: int, variable: str, user: str, host: str = "127.0.0.1") -> None:
    """Raise an error if a server cannot listen on a port.

    Args:
        port: TCP port, 1 to 65535.
        variable: Environment variable that sets the port, for the message.
        user: Component that needs the port, for the message.
        host: Bind address.

    Raises:
        TumorMLError: The port is in use, or this user has no permission to use it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this option too: connections of a stopped server do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise TumorMLError(
                f"Port {port} cannot be used for the {user}: {_reason(port, error)}. "
                f"Stop the process that uses it, or set another port with {variable}."
            ) from None


def _reason(port: int, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "this user has no permission to open it"
    owner = _owner(port)
    if owner is None:
        return f"{error}" if isinstance(error, OverflowError) else "it is in use"
    return f"it is in use by process {owner.pid} ({owner.name()})"


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
