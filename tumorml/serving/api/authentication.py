"""What a request has to pass before it is heard."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from tumorml.serving.api.api_keys import Caller, is_loopback
from tumorml.serving.api.problems import ProblemError
from tumorml.serving.api.state import Server, server_of

KEY = "X-API-Key"
_header = APIKeyHeader(name=KEY, auto_error=False, description="Where keys exist: one of them.")


async def caller(
    request: Request,
    key: Annotated[str | None, Security(_header)],
    server: Annotated[Server, Depends(server_of)],
) -> Caller:
    """Who asks.

    Raises:
        ProblemError: There are keys, and this is none of them; or there are none, and a page of
            another site asks through a browser of this machine. Or the results store does not say
            who may ask.
    """
    keys = server.keys.now()
    if keys is None:
        raise ProblemError(
            503,
            "The results store does not say who may ask; try again.",
            headers={"Retry-After": "5"},
        )
    if keys.open and _of_another_site(request):
        raise ProblemError(403, "Without a key only this machine's own pages and programs may ask.")
    found = keys.caller(key)
    if found is None:
        why = f"Send a key in the header {KEY}." if key is None else "This key is not known."
        raise ProblemError(401, why, headers={"WWW-Authenticate": f'ApiKey header="{KEY}"'})
    return found


def _of_another_site(request: Request) -> bool:
    """Whether a browser asks for a page that did not come from here, or by a name of elsewhere."""
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


async def asker(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Who asks for predictions.

    Raises:
        ProblemError: Their key may only read.
    """
    if not who.may_ask:
        raise ProblemError(403, f"The key {who.name!r} may read, but not ask for predictions.")
    return who


async def known_parameters(request: Request) -> None:
    """Refuse what would be passed over in silence.

    Raises:
        ProblemError: The query has a parameter that the path does not have.
    """
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    unknown = sorted({*request.query_params} - known)
    if unknown:
        there = ", ".join(sorted(known)) or "none"
        raise ProblemError(422, f"There is no parameter {unknown[0]!r} here; there are: {there}.")
