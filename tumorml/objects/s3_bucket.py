"""Requests to one bucket, retried while the store is unreachable.

botocore retries short failures (a lost connection, throttling) for seconds, with backoff and
jitter. Longer outages are handled here, per request, so a large upload continues with the part
that failed.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import s3fs
from fsspec.asyn import sync

from tumorml.errors import StoreUnreachableError
from tumorml.objects.s3_errors import explain_error, is_transient

log = logging.getLogger(__name__)

Response = TypeVar("Response")

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_ATTEMPTS = 3
_MAX_PAUSE_SECONDS = 5.0


class Bucket:
    """A bucket of an S3 server.

    Args:
        name: Name of the bucket.
        endpoint_url: URL of the server; None for AWS_ENDPOINT_URL_S3, or else Amazon S3.
        region: Region of the bucket; None for AWS_DEFAULT_REGION, or else us-east-1.
        patience_seconds: Seconds that one request is retried while the server does not answer.
    """

    def __init__(
        self, name: str, endpoint_url: str | None, region: str | None, patience_seconds: float
    ) -> None:
        self.name = name
        self._endpoint_url = endpoint_url
        self._region = region
        self._patience_seconds = patience_seconds

    def request(
        self, operation: str, purpose: str, *, patient: bool = True, **parameters: Any
    ) -> dict[str, Any]:
        """Call an operation of the S3 API and return its response.

        Args:
            operation: The botocore name of the operation, such as ``head_object``.
            purpose: The purpose for error messages, such as ``read s3://bucket/key``.
            patient: Whether to wait for the end of an outage.
            parameters: The parameters without the bucket.

        Raises:
            StoreUnreachableError: The server did not answer within the configured patience.
            MissingObjectError: There is no such object.
            StoreRefusedError: The credentials are wrong or lack a permission.
            TumorMLError: Another setting is wrong.
            OSError: The server refused the request; `error_code` returns its code.
        """

        def send() -> dict[str, Any]:
            response: dict[str, Any] = self._connection().call_s3(
                operation, Bucket=self.name, **parameters
            )
            return response

        return self._retry(send, purpose, self._patience_seconds if patient else 0.0)

    def get(self, purpose: str, **parameters: Any) -> bytes:
        """Return the body of ``get_object``; see `request`."""

        def send() -> bytes:
            connection = self._connection()

            async def body() -> bytes:
                response = await connection._call_s3("get_object", Bucket=self.name, **parameters)
                async with response["Body"] as stream:
                    return bytes(await stream.read())

            return bytes(sync(connection.loop, body))

        return self._retry(send, purpose, self._patience_seconds)

    def _retry(self, send: Callable[[], Response], purpose: str, patience: float) -> Response:
        """Send a request, and retry transient failures for up to ``patience`` seconds."""
        endpoint = self._endpoint_url or "Amazon S3"
        started, pause, waited = time.monotonic(), 0.2, False
        while True:
            try:
                response = send()
            except Exception as error:
                if not is_transient(error):
                    explained = explain_error(
                        error, bucket=self.name, endpoint=endpoint, purpose=purpose
                    )
                    if explained is error:
                        raise
                    raise explained from error
                seconds = time.monotonic() - started
                if seconds + pause > patience:
                    raise StoreUnreachableError(
                        f"The object store at {endpoint} did not {purpose} within {seconds:.0f} s "
                        f"({error}): check that it runs and that TUMORML_S3_ENDPOINT_URL is its "
                        "address."
                    ) from error
                if not waited:
                    log.warning("object store %s is not available (%s); waiting", endpoint, error)
                waited = True
            else:
                if waited:
                    log.info("object store answered after %.1f s", time.monotonic() - started)
                return response
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (not for cryptography)
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    def _connection(self) -> Any:
        return connection(self._endpoint_url, self._region)


@lru_cache
def connection(endpoint_url: str | None, region: str | None) -> s3fs.S3FileSystem:
    """Return the connection that all threads share; by default fsspec opens one per thread."""
    filesystem = s3fs.S3FileSystem(
        endpoint_url=endpoint_url,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs={
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "retries": {"mode": "standard", "max_attempts": _ATTEMPTS},
            "request_checksum_calculation": "when_supported",
            "response_checksum_validation": "when_supported",
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    filesystem.retries = 1  # botocore and `Bucket` retry already
    return filesystem


# A forked process has neither the event loop thread nor the open connections.
os.register_at_fork(after_in_child=connection.cache_clear)
