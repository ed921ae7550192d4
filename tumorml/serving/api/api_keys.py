"""Who may ask: API keys, stored as their SHA-256 alone."""

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
"""A reader sees what was answered; a writer may also ask."""
_PREFIX = "tml_"
_LOOK_SECONDS = 1.0
_OLD_SECONDS = 15.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and whether that may be more than reading."""

    name: str
    role: str

    @property
    def may_ask(self) -> bool:
        """Whether it may have scans read."""
        return self.role == "writer"


ANYBODY = Caller("anybody on this machine", "writer")
"""Who asks where there never was a key, which only loopback allows."""


def add_key(settings: Settings, name: str, role: str) -> str:
    """Make a key; it is told this once and never again.

    Raises:
        TumorMLError: The name is taken or no name, or the role is none.
    """
    if role not in ROLES:
        raise TumorMLError(f"{role!r} is no role; one of {', '.join(ROLES)} is.")
    if not _NAME.fullmatch(name):
        raise TumorMLError(
            f"{name!r} is no name of a key: 1 to 64 letters, digits or any of `_.@-` are."
        )
    key = _PREFIX + secrets.token_urlsafe(32)
    with write_session(settings) as session:
        if session.get(ApiKey, name) is not None:
            raise TumorMLError(f"There is a key {name!r} already; revoked ones keep their names.")
        session.add(ApiKey(name=name, sha256=_sha256(key), role=role))
    return key


def revoke_key(settings: Settings, name: str) -> None:
    """Let a key be refused from now on.

    Raises:
        TumorMLError: There is no such key, or it is revoked already.
    """
    with write_session(settings) as session:
        key = session.get(ApiKey, name)
        if key is None or key.revoked_at is not None:
            raise TumorMLError(f"There is no key {name!r} that could be revoked.")
        key.revoked_at = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Keys:
    """Who may ask.

    Attributes:
        callers: By the SHA-256 of their key; revoked ones are not among them.
        open: Whether nobody needs a key: there never was one, and the address is loopback.
    """

    callers: dict[str, Caller]
    open: bool

    def caller(self, key: str | None) -> Caller | None:
        """Who asks with that key; None where it is unknown, or missing though one is needed."""
        if self.open:
            return ANYBODY
        return None if key is None else self.callers.get(_sha256(key))


def read_keys(settings: Settings) -> Keys:
    """The keys of the database and of ``TUMORML_API_KEYS``.

    Raises:
        TumorMLError: That setting cannot be read.
    """
    known: dict[str, Caller] = {}
    for number, entry in enumerate(filter(None, settings.api_keys.split(",")), 1):
        name, _, rest = entry.strip().partition(":")
        role, _, sha256 = rest.partition(":")
        is_key = _NAME.fullmatch(name) and re.fullmatch(r"[0-9a-f]{64}", sha256)
        if role not in ROLES or not is_key:
            # Told by its place: what stands there may be a key itself.
            raise TumorMLError(
                f"TUMORML_API_KEYS: entry {number} is not name:role:sha256, with letters, digits "
                f"or any of `_.@-`, {' or '.join(ROLES)}, and the 64 hex digits of a key's SHA-256."
            )
        known[sha256] = Caller(name, role)
    with read_session(settings) as session:
        kept = session.scalars(select(ApiKey)).all()
    known |= {key.sha256: Caller(key.name, key.role) for key in kept if key.revoked_at is None}
    return Keys(known, open=not (kept or known) and is_loopback(settings.api_host))


class KnownKeys:
    """The keys as they were a moment ago: who asks never waits for the results store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys({}, open=False)
        self._read = float("-inf")
        self._thread = PeriodicThread(
            "reading the API keys",
            _LOOK_SECONDS,
            self._look,
            transient=(SQLAlchemyError, OSError, TumorMLError),
        )

    def start(self) -> None:
        """Read them, and again each second from now on.

        Raises:
            TumorMLError: ``TUMORML_API_KEYS`` cannot be read.
        """
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Read them no more."""
        self._thread.stop()

    def now(self) -> Keys | None:
        """The keys; None where they are so old that a revoked one may be among them."""
        return self._keys if time.monotonic() - self._read < _OLD_SECONDS else None

    def _look(self) -> None:
        asked = time.monotonic()
        self._keys = read_keys(self._settings)
        self._read = asked


def require_safe_address(settings: Settings) -> None:
    """Refuse to be reached from elsewhere without a key, and to start with keys that are none.

    Raises:
        TumorMLError: The address is not of this machine alone, and there is no key; or
            ``TUMORML_API_KEYS`` cannot be read.
    """
    keys = read_keys(settings)
    if not is_loopback(settings.api_host) and not keys.callers:
        raise TumorMLError(
            f"The API would answer everybody who reaches {settings.api_host}. Make a key first: "
            "tumorml key add NAME --role writer. Or set TUMORML_API_HOST=127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
