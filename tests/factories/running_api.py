"""The API as a server on a port of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tumorml.serving.api.app import create_app
from tumorml.settings import Settings


@contextmanager
def running_api(settings: Settings) -> Iterator[Settings]:
    """Settings by which it is found."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    socket = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield settings.model_copy(update={"api_port": socket.getsockname()[1]})
    finally:
        server.should_exit = True
        thread.join()
