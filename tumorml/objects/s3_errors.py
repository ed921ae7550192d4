"""What an S3 store's failures mean: wait, or tell a person what to set."""

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
    FlexibleChecksumError,  # bytes that were changed on the way; the next answer may be whole
)
_PASSING_CODES = {
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
    """The code of an S3 answer, such as ``NoSuchKey``, or its HTTP status; empty where none."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def may_pass(error: BaseException) -> bool:
    """Whether the same request, sent again a little later, may well succeed."""
    if isinstance(error, boto.SSLError):
        return False
    answer = _answer(error)
    if answer:
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        passing = status == 429 or (status >= 500 and status != 501)
        return passing or error_code(error) in _PASSING_CODES
    return isinstance(error, _OUTAGES)


def told(error: Exception, *, bucket: str, endpoint: str, what: str) -> Exception:
    """The error as it is raised here; one that a person can put right names what to set.

    Args:
        error: What s3fs or botocore raised; one that may pass is none of these.
        bucket: That was asked.
        endpoint: That was asked, as a person knows it.
        what: What was wanted, such as ``read s3://bucket/key``.
    """
    code = error_code(error)
    if code == "NoSuchBucket":
        return TumorMLError(
            f"There is no bucket {bucket!r} at {endpoint}: make it, or set {_BUCKET} (and "
            f"{_ENDPOINT}) to where it is."
        )
    if code in _WRONG_REGION:
        return TumorMLError(
            f"The bucket {bucket!r} is in another region than was asked at {endpoint} ({error}): "
            "set TUMORML_S3_REGION."
        )
    if code in _WRONG_CREDENTIALS:
        return StoreRefusedError(
            f"{endpoint} does not accept the credentials ({code}): set {_KEY} and {_SECRET} to "
            "those of the object store, and unset AWS_SESSION_TOKEN where it has expired."
        )
    if code == "RequestTimeTooSkewed":
        return StoreRefusedError(f"This machine's clock and that of {endpoint} differ: set it.")
    if isinstance(error, PermissionError):
        return StoreRefusedError(
            f"{endpoint} does not let the key in {_KEY} {what}: give that key the right to, or set "
            f"{_KEY} and {_SECRET} to one that has it."
        )
    if isinstance(error, FileNotFoundError):
        return MissingObjectError(
            f"Cannot {what}: it is not in the object store; bring it back from a backup."
        )
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return TumorMLError(
            f"The object store at {endpoint} wants credentials, and there are none: set {_KEY} and "
            f"{_SECRET}."
        )
    wrong = (ResponseParserError, boto.SSLError, boto.InvalidRegionError)
    if isinstance(error, wrong) or (isinstance(error, ValueError) and "endpoint" in str(error)):
        return TumorMLError(
            f"What answers at {endpoint} cannot be used as an S3 store ({error}): set {_ENDPOINT}, "
            "and TUMORML_S3_REGION where it has one."
        )
    return error


def _answer(error: BaseException) -> dict[str, Any]:
    """What the server said, by botocore's own error or by the one that s3fs made of it."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return response
    return {}
