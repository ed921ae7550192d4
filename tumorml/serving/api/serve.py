"""Run the API until it is told to stop."""

from __future__ import annotations

import logging

from tumorml.settings import Settings


def serve(settings: Settings) -> None:
    """Serve the champions over HTTP, in this process; who may ask is settled before."""
    import uvicorn
    from threadpoolctl import threadpool_limits

    from tumorml.serving.api.app import create_app

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
