"""Run the API until it is told to stop."""

from __future__ import annotations

import logging

from tumorml.settings import Settings


def serve(settings: Settings) -> None:
    """Serve the champions over HTTP, in this process; who may ask is settled before."""
    import resource

    import uvicorn
    from threadpoolctl import threadpool_limits

    from tumorml.serving.api.app import create_app

    # A connection is an open file, and most systems let a process have 1,024 unless it asks.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # /metrics counts them
    # Products over a few scans are small: the threads of BLAS would wait for each other longer.
    with threadpool_limits(1, user_api="blas"):
        uvicorn.run(
            create_app(settings),
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            timeout_graceful_shutdown=3,
            server_header=False,
        )
