"""Request dependencies: authentication, authorization and the check for unknown parameters."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from tumorml.serving.api.api_keys import Caller, is_loopback
from tumorml.serving.api.problems import ProblemError
from tumorml.serving.api.state import ServerState, server_state

HEADER = "X-API-Key"
_header = APIKeyHeader(
    name=HEADER, auto_error=False, description="API key; required once a key was created."
)


async def authenticate(
    request: Request,
    key: Annotated[str | None, Security(_header)],
    server: Annotated[ServerState, Depends(server_state)],
) -> Caller:
    """Return the caller of a request.

    Raises:
        ProblemError: 401 if a key is needed and this one is missing or unknown; 403 if the API has
            no keys and a page of another site sent the request through a browser; 503 if the keys
            could not be read from the results store lately.
    """
    keys = server.keys.current()
    if keys is None:
        raise ProblemError(
            503,
            "API keys cannot be checked: the results store does not respond. Try again.",
            headers={"Retry-After": "5"},
        )
    if keys.is_open and _is_cross_site(request):
        raise ProblemError(
            403,
            "Cross-site request refused: without an API key, only programs and pages of this "
            "machine may call the API.",
        )
    caller = keys.caller(key)
    if caller is None:
        detail = (
            f"An API key is required in the header {HEADER}."
            if key is None
            else f"The API key in the header {HEADER} is unknown or revoked."
        )
        raise ProblemError(401, detail, headers={"WWW-Authenticate": f'ApiKey header="{HEADER}"'})
    return caller


def _is_cross_site(request: Request) -> bool:
    """Return True if a browser sends this for a page of another origin, or by DNS rebinding."""
    try:
        origin = urlsplit(request.headers.get("origin", ""))
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return True
    return (
        not is_loopback(host)
        or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        or (bool(origin.scheme or origin.path) and origin.netloc != request.headers.get("host"))
    )


async def require_writer(caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
    """Return the caller of a request if it may request predictions.

    Raises:
        ProblemError: 403 if the key has the role ``reader``.
    """
    if not caller.may_predict:
        raise ProblemError(
            403,
            f"The API key {caller.name!r} has the role {caller.role}; predictions need the role "
            "writer.",
        )
    return caller


async def reject_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that the path does not define, instead of ignoring them.

    Raises:
        ProblemError: 422 for an unknown parameter.
    """
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    unknown = sorted({*request.query_params} - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise ProblemError(
            422, f"Unknown query parameter {unknown[0]!r}; known parameters: {names}."
        )
