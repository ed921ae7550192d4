"""Classify errors of an S3 store as transient or as caused by a wrong setting."""

from __future__ import annotations

from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.httpchecksum import FlexibleChecksumError
from botocore.parsers import ResponseParserError

from tumorml.errors import MissingObjectError, StoreRefusedError, TumorMLError

_ENDPOINT = "TUMORML_S3_ENDPOINT_URL"
_BUCKET = "TUMORML_OBJECT_STORE_URL"
_KEY = "AWS_ACCESS_KEY_ID"
_SECRET = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 (the variable's name)

_OUTAGES = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
    FlexibleChecksumError,  # bytes were corrupted in transit
)
_TRANSIENT_CODES = {
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
_WRONG_CREDENTIALS = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_WRONG_REGION = {"301", "AuthorizationHeaderMalformed", "PermanentRedirect"}


def error_code(error: BaseException) -> str:
    """Return the S3 error code such as ``NoSuchKey``, the HTTP status, or an empty string."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def is_transient(error: BaseException) -> bool:
    """Return whether retrying the same request later may succeed."""
    if isinstance(error, boto.SSLError):
        return False
    response = _response(error)
    if response:
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        is_transient_status = status == 429 or (status >= 500 and status != 501)
        return is_transient_status or error_code(error) in _TRANSIENT_CODES
    return isinstance(error, _OUTAGES)


def explain_error(error: Exception, *, bucket: str, endpoint: str, purpose: str) -> Exception:
    """Return a `TumorMLError` that names the wrong setting, or the error itself.

    Args:
        error: An error of s3fs or botocore that is not transient.
        bucket: Name of the bucket.
        endpoint: Name of the server for the message.
        purpose: The purpose of the request, such as ``read s3://bucket/key``.
    """
    code = error_code(error)
    if code == "NoSuchBucket":
        return TumorMLError(
            f"There is no bucket {bucket!r} at {endpoint}: create it, or correct {_BUCKET} (and "
            f"{_ENDPOINT})."
        )
    if code in _WRONG_REGION:
        return TumorMLError(
            f"The bucket {bucket!r} at {endpoint} is in another region ({error}): set "
            "TUMORML_S3_REGION."
        )
    if code in _WRONG_CREDENTIALS:
        return StoreRefusedError(
            f"{endpoint} does not accept the credentials ({code}): set {_KEY} and {_SECRET} to "
            "those of the object store, and unset AWS_SESSION_TOKEN if it has expired."
        )
    if code == "RequestTimeTooSkewed":
        return StoreRefusedError(
            f"The clocks of this machine and of {endpoint} differ: correct them."
        )
    if isinstance(error, PermissionError):
        return StoreRefusedError(
            f"{endpoint} does not allow the key in {_KEY} to {purpose}: grant it the permission, "
            f"or set {_KEY} and {_SECRET} to a key that has it."
        )
    if isinstance(error, FileNotFoundError):
        return MissingObjectError(
            f"Cannot {purpose}: it is not in the object store; restore it from a backup."
        )
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return TumorMLError(
            f"The object store at {endpoint} needs credentials: set {_KEY} and {_SECRET}."
        )
    not_s3 = (ResponseParserError, boto.SSLError, boto.InvalidRegionError)
    if isinstance(error, not_s3) or (isinstance(error, ValueError) and "endpoint" in str(error)):
        return TumorMLError(
            f"The server at {endpoint} cannot be used as an S3 store ({error}): correct "
            f"{_ENDPOINT}, and TUMORML_S3_REGION if it has regions."
        )
    return error


def _response(error: BaseException) -> dict[str, Any]:
    """Return the server's response from botocore's error, or from the cause of s3fs's error."""
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return response
    return {}
