"""API keys: creation, revocation and lookup. Only the SHA-256 of a key is stored."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from tumorml.errors import TumorMLError
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import ApiKey
from tumorml.settings import Settings
from tumorml.timers import PeriodicThread

ROLES = ("reader", "writer")
"""A reader may call the GET endpoints; a writer may also request predictions."""
_PREFIX = "tml_"
_REFRESH_SECONDS = 1.0
_STALE_SECONDS = 15.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request: the name and role of its API key."""

    name: str
    role: str

    @property
    def may_predict(self) -> bool:
        """True if this caller may request predictions."""
        return self.role == "writer"


ANONYMOUS = Caller("anybody on this machine", "writer")
"""The caller of an API without keys, which accepts requests from this machine only."""


def add_key(settings: Settings, name: str, role: str) -> str:
    """Create an API key and return it. It cannot be read again later.

    Raises:
        TumorMLError: The name is taken or invalid, or the role is unknown.
    """
    if role not in ROLES:
        raise TumorMLError(f"Unknown role {role!r}; use one of: {', '.join(ROLES)}.")
    if not _NAME.fullmatch(name):
        raise TumorMLError(
            f"Invalid key name {name!r}: use 1 to 64 letters, digits or characters of `_.@-`, "
            "starting with a letter or digit."
        )
    key = _PREFIX + secrets.token_urlsafe(32)
    with write_session(settings) as session:
        if session.get(ApiKey, name) is not None:
            raise TumorMLError(
                f"The key {name!r} exists already. The name of a revoked key cannot be reused."
            )
        session.add(ApiKey(name=name, sha256=_sha256(key), role=role))
    return key


def revoke_key(settings: Settings, name: str) -> None:
    """Revoke an API key. Running servers refuse it within about a second.

    Raises:
        TumorMLError: There is no such key, or it is revoked already.
    """
    with write_session(settings) as session:
        key = session.get(ApiKey, name)
        if key is None or key.revoked_at is not None:
            raise TumorMLError(f"There is no active key {name!r}.")
        key.revoked_at = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The active API keys at one moment.

    Attributes:
        callers: Callers by the SHA-256 of their key, without revoked keys.
        is_open: True if no key is needed: none was ever created, and the bind address is loopback.
    """

    callers: dict[str, Caller]
    is_open: bool

    def caller(self, key: str | None) -> Caller | None:
        """Return the caller with this key; None if the key is unknown, or needed and missing."""
        if self.is_open:
            return ANONYMOUS
        return None if key is None else self.callers.get(_sha256(key))


def read_keys(settings: Settings) -> ApiKeys:
    """Return the active keys of the results store and of ``TUMORML_API_KEYS``.

    Raises:
        TumorMLError: ``TUMORML_API_KEYS`` has an invalid entry.
    """
    callers: dict[str, Caller] = {}
    for number, entry in enumerate(filter(None, settings.api_keys.split(",")), 1):
        name, _, rest = entry.strip().partition(":")
        role, _, sha256 = rest.partition(":")
        is_valid = _NAME.fullmatch(name) and re.fullmatch(r"[0-9a-f]{64}", sha256)
        if role not in ROLES or not is_valid:
            # The message gives the position only: the entry may contain a key.
            raise TumorMLError(
                f"TUMORML_API_KEYS: entry {number} is not name:role:sha256, with a name of "
                f"letters, digits or `_.@-`, a role ({' or '.join(ROLES)}) and the 64 hex digits "
                "of the key's SHA-256."
            )
        callers[sha256] = Caller(name, role)
    with read_session(settings) as session:
        rows = session.scalars(select(ApiKey)).all()
    callers |= {row.sha256: Caller(row.name, row.role) for row in rows if row.revoked_at is None}
    return ApiKeys(callers, is_open=not (rows or callers) and is_loopback(settings.api_host))


class ApiKeyCache:
    """A cache of the active keys, refreshed every second; no request waits for the store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = ApiKeys({}, is_open=False)
        self._refreshed = float("-inf")
        self._thread = PeriodicThread(
            "refreshing the API keys",
            _REFRESH_SECONDS,
            self._refresh,
            transient=(SQLAlchemyError, OSError, TumorMLError),
        )

    def start(self) -> None:
        """Read the keys, and start to refresh them every second.

        Raises:
            TumorMLError: ``TUMORML_API_KEYS`` has an invalid entry.
        """
        self._refresh()
        self._thread.start()

    def stop(self) -> None:
        """Stop refreshing."""
        self._thread.stop()

    def current(self) -> ApiKeys | None:
        """Return the keys; None if the last refresh is too old: keys may be revoked since then."""
        return self._keys if time.monotonic() - self._refreshed < _STALE_SECONDS else None

    def _refresh(self) -> None:
        started = time.monotonic()
        self._keys = read_keys(self._settings)
        self._refreshed = started


def require_safe_address(settings: Settings) -> None:
    """Refuse to serve other machines without an API key.

    Raises:
        TumorMLError: The bind address is not loopback and there is no active key, or
            ``TUMORML_API_KEYS`` has an invalid entry.
    """
    keys = read_keys(settings)
    if not is_loopback(settings.api_host) and not keys.callers:
        raise TumorMLError(
            f"The API would accept requests from any machine that reaches {settings.api_host}. "
            "Create a key first: tumorml key add NAME --role writer. Or set "
            "TUMORML_API_HOST=127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Return True if an address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
