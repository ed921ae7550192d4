"""Wakes the ingest when complete drops wait in the inbox.

Airflow 3.3 can strand an asset event: with ``max_active_runs=1`` an event that arrives while a run
is active may stay attached to no run (apache/airflow #56050). So an event here is only a wake-up
and the trigger looks at the *level*, not at edges: as long as the same drops wait, they are
announced again after a while.
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
    """Fires one event when complete drops wait that were not announced yet.

    The event's payload is ``{"drops": [names], "signature": sha256, "announced_at": seconds}``.
    What was announced last, and when, is kept in the asset's state store, so a restart of the
    triggerer neither forgets a drop nor announces all of them again.

    Args:
        poll_seconds: How often the inbox is listed.
        reannounce_seconds: After how long the same drops, still waiting, are announced again.
    """

    def __init__(
        self, poll_seconds: float = 5.0, reannounce_seconds: float = REANNOUNCE_SECONDS
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_seconds = poll_seconds
        self.reannounce_seconds = reannounce_seconds
        self._watermark: dict[str, Any] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments, as Airflow stores them."""
        return (
            "tumorml.airflow_plugin.inbox_trigger.InboxTrigger",
            {"poll_seconds": self.poll_seconds, "reannounce_seconds": self.reannounce_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for ever; an error of one poll is logged and the next poll tries again."""
        # The first look at the state store costs the triggerer seconds: not when a drop waits.
        await self._read_watermark()
        while True:
            try:
                event = await self._poll()
            except Exception:
                log.exception("The inbox could not be listed; trying again.")
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
        # A clock that was set back must not silence the inbox.
        if known.issuperset(map(_digest, identities)) and 0 <= age < self.reannounce_seconds:
            return None
        await self._write_watermark(
            {"drops": [_digest(identity) for identity in identities], "announced_at": now}
        )
        # Postgres keeps the payload as JSON and takes no half of a surrogate pair.
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
                    log.exception("The watermark could not be read; announcing afresh.")
            self._watermark = stored if isinstance(stored, dict) else {}
        return self._watermark

    async def _write_watermark(self, watermark: dict[str, Any]) -> None:
        self._watermark = watermark
        if self.asset_state_store:
            try:
                await self.asset_state_store.aset(WATERMARK, watermark)
            except Exception:
                log.exception("The watermark could not be kept; a restart will announce again.")


def _waiting_drops() -> list[WaitingDrop]:
    # Imported here: the DAG processor loads this module to read the schedule and needs no more.
    from tumorml.scans.inbox.drops import waiting_drops
    from tumorml.settings import get_settings

    return waiting_drops(get_settings())


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _signature(identities: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(sorted(identities)).encode()).hexdigest()
