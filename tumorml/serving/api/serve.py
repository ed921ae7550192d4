"""The API server process."""

from __future__ import annotations

import logging

from tumorml.settings import Settings


def serve(settings: Settings) -> None:
    """Run the API in this process until SIGINT or SIGTERM.

    Call `require_safe_address` first: this function does not check the bind address.
    """
    import resource

    import uvicorn
    from threadpoolctl import threadpool_limits

    from tumorml.serving.api.app import create_app

    # A connection needs an open file, and most systems allow a process 1,024 by default.
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # /metrics counts requests
    # The matrix products are small: BLAS threads would spend more time on synchronization.
    with threadpool_limits(1, user_api="blas"):
        uvicorn.run(
            create_app(settings),
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            timeout_graceful_shutdown=3,
            server_header=False,
        )
