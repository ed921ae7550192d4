"""The API as a real server and as an in-process client, and a wait for its background threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.testclient import TestClient

from tumorml.serving.api.app import create_app
from tumorml.settings import Settings


@contextmanager
def running_api(settings: Settings) -> Iterator[Settings]:
    """Run the API on a free port; yield the settings with that port."""
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


def api_client(settings: Settings) -> TestClient:
    """Return a client whose ``with`` block starts and stops the app in this process."""
    return TestClient(create_app(settings), base_url="http://127.0.0.1")


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until a condition holds; fail after a time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds} s"
        time.sleep(0.05)
