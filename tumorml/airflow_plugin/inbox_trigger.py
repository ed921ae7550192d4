"""Trigger that starts the ingest when complete drops wait in the inbox.

Airflow 3.3 can lose an asset event: with ``max_active_runs=1`` an event that arrives while a run is
active may be assigned to no run (apache/airflow #56050). So the trigger is level-triggered: it
repeats the event at intervals as long as the same drops wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import structlog
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from tumorml.scans.inbox.drops import WaitingDrop

WATERMARK = "announced_drops"
REANNOUNCE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class InboxTrigger(BaseEventTrigger):
    """Fire one event when the inbox has complete drops that have not been announced yet.

    The payload is ``{"drops": [names], "signature": sha256, "announced_at": Unix seconds}``. The
    last announcement is kept in the asset's state store, so that a restarted triggerer neither
    misses a drop nor announces all of them again.

    Airflow stores the path of this class in its database: do not move it.

    Args:
        poll_seconds: Seconds between two listings of the inbox.
        reannounce_seconds: Seconds after which drops that still wait are announced again.
    """

    def __init__(
        self, poll_seconds: float = 5.0, reannounce_seconds: float = REANNOUNCE_SECONDS
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_seconds = poll_seconds
        self.reannounce_seconds = reannounce_seconds
        self._watermark: dict[str, Any] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which Airflow stores."""
        return (
            "tumorml.airflow_plugin.inbox_trigger.InboxTrigger",
            {"poll_seconds": self.poll_seconds, "reannounce_seconds": self.reannounce_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll forever; an error is logged, and the next poll tries again."""
        # The first read of the state store takes seconds; do it before a drop waits.
        await self._read_watermark()
        while True:
            try:
                event = await self._poll()
            except Exception:
                log.exception("The inbox could not be listed; retrying.")
                event = None
            if event is not None:
                yield event
            await asyncio.sleep(self.poll_seconds)

    async def _poll(self) -> TriggerEvent | None:
        drops = [drop for drop in await asyncio.to_thread(_waiting_drops) if drop.complete]
        if not drops:
            return None
        identities = sorted(f"{drop.name}@{drop.fingerprint}" for drop in drops)
        watermark = await self._read_watermark()
        now = time.time()
        known = set(watermark.get("drops", ()))
        age = now - float(watermark.get("announced_at", 0.0))
        # The age is negative if the clock was set back; announce in this case, too.
        if known.issuperset(map(_digest, identities)) and 0 <= age < self.reannounce_seconds:
            return None
        await self._write_watermark(
            {"drops": [_digest(identity) for identity in identities], "announced_at": now}
        )
        # Postgres rejects lone surrogates in JSON.
        names = sorted(drop.name.encode("utf-8", "backslashreplace").decode() for drop in drops)
        log.info("Complete drops wait in the inbox.", drops=names)
        payload = {"drops": names, "signature": _signature(identities), "announced_at": now}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _read_watermark(self) -> dict[str, Any]:
        if self._watermark is None:
            stored: Any = None
            if self.asset_state_store:
                try:
                    stored = await self.asset_state_store.aget(WATERMARK)
                except Exception:
                    log.exception("The last announcement could not be read; announcing all drops.")
            self._watermark = stored if isinstance(stored, dict) else {}
        return self._watermark

    async def _write_watermark(self, watermark: dict[str, Any]) -> None:
        self._watermark = watermark
        if self.asset_state_store:
            try:
                await self.asset_state_store.aset(WATERMARK, watermark)
            except Exception:
                log.exception("The announcement could not be stored; a restart will repeat it.")


def _waiting_drops() -> list[WaitingDrop]:
    # Imported here, because the DAG processor imports this module when it parses the DAG.
    from tumorml.scans.inbox.drops import waiting_drops
    from tumorml.settings import get_settings

    return waiting_drops(get_settings())


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _signature(identities: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(sorted(identities)).encode()).hexdigest()
