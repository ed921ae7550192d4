"""Requests to one bucket, sent again through short trouble and waited with through an outage.

What short trouble there is (a lost connection, throttling) botocore tries again with backoff and
jitter; an outage is waited for here, each request by itself, so that a large file goes on at the
part where it was.
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
from tumorml.objects.s3_errors import may_pass, told

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_TRIES = 3
_LONGEST_PAUSE_SECONDS = 5.0


class Bucket:
    """A bucket of an S3 server.

    Args:
        name: Of the bucket.
        endpoint_url: The server; none: Amazon's, or what AWS_ENDPOINT_URL_S3 says.
        region: Of the bucket; none: AWS_DEFAULT_REGION, else us-east-1.
        patience_seconds: How long one request waits for a server that does not answer.
    """

    def __init__(
        self, name: str, endpoint_url: str | None, region: str | None, patience_seconds: float
    ) -> None:
        self.name = name
        self._endpoint_url = endpoint_url
        self._region = region
        self._patience_seconds = patience_seconds

    def ask(
        self, operation: str, what: str, *, patient: bool = True, **request: Any
    ) -> dict[str, Any]:
        """The answer to an operation of the S3 API by its botocore name, such as ``head_object``.

        Args:
            operation: The name.
            what: It is for, as a person says it, such as ``read s3://bucket/key``.
            patient: Whether an outage is waited for.
            request: Its parameters; the bucket is added.

        Raises:
            StoreUnreachableError: The server did not answer for longer than there is patience.
            MissingObjectError: There is no such object.
            StoreRefusedError: The credentials are not accepted, or do not suffice.
            TumorMLError: Another setting is wrong.
            OSError: The server refuses the request; `error_code` says why.
        """

        def ask() -> dict[str, Any]:
            answer: dict[str, Any] = self._connection().call_s3(
                operation, Bucket=self.name, **request
            )
            return answer

        return self._patiently(ask, what, self._patience_seconds if patient else 0.0)

    def get(self, what: str, **request: Any) -> bytes:
        """The body of ``get_object``; see `ask`."""

        def ask() -> bytes:
            connection = self._connection()

            async def body() -> bytes:
                answer = await connection._call_s3("get_object", Bucket=self.name, **request)
                async with answer["Body"] as stream:
                    return bytes(await stream.read())

            return bytes(sync(connection.loop, body))

        return self._patiently(ask, what, self._patience_seconds)

    def _patiently(self, ask: Callable[[], Answer], what: str, patience: float) -> Answer:
        endpoint = self._endpoint_url or "Amazon S3"
        started, pause, waited = time.monotonic(), 0.2, False
        while True:
            try:
                answer = ask()
            except Exception as error:
                if not may_pass(error):
                    meant = told(error, bucket=self.name, endpoint=endpoint, what=what)
                    if meant is error:
                        raise
                    raise meant from error
                seconds = time.monotonic() - started
                if seconds + pause > patience:
                    raise StoreUnreachableError(
                        f"The object store at {endpoint} did not {what} within {seconds:.0f} s "
                        f"({error}): see whether it runs, and whether TUMORML_S3_ENDPOINT_URL is "
                        "its address."
                    ) from error
                if not waited:
                    log.warning("the object store at %s has trouble (%s); waiting", endpoint, error)
                waited = True
            else:
                if waited:
                    log.info("the object store answers after %.1f s", time.monotonic() - started)
                return answer
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _connection(self) -> Any:
        return connection(self._endpoint_url, self._region)


@lru_cache
def connection(endpoint_url: str | None, region: str | None) -> s3fs.S3FileSystem:
    """One for all threads; fsspec would make one for each."""
    filesystem = s3fs.S3FileSystem(
        endpoint_url=endpoint_url,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs={
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "retries": {"mode": "standard", "max_attempts": _TRIES},
            "request_checksum_calculation": "when_supported",
            "response_checksum_validation": "when_supported",
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    filesystem.retries = 1  # botocore and the patience above do that
    return filesystem


# A forked process has neither the thread nor the connections.
os.register_at_fork(after_in_child=connection.cache_clear)
