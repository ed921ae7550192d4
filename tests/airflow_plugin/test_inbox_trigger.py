"""The inbox trigger, with fakes for the listing of the inbox and Airflow's state store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, cast

import pytest
from airflow.triggers.base import TriggerEvent

from tumorml.airflow_plugin import inbox_trigger
from tumorml.airflow_plugin.inbox_trigger import InboxTrigger


@dataclass
class FakeDrop:
    name: str
    fingerprint: str = "1"
    complete: bool = True


class FakeStateStore:
    """A fake of Airflow's ``asset_state_store``, which keeps its values when a trigger ends."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.broken = False

    async def aget(self, key: str) -> Any:
        if self.broken:
            raise RuntimeError("the API server is unreachable")
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        if self.broken:
            raise RuntimeError("the API server is unreachable")
        self.values[key] = value


class FakeInbox:
    """Lists ``drops``, or raises them if they are an exception, and counts the listings."""

    def __init__(self) -> None:
        self.drops: list[FakeDrop] | Exception = []
        self.listings = 0

    def list(self) -> list[FakeDrop]:
        self.listings += 1
        if isinstance(self.drops, Exception):
            raise self.drops
        return self.drops


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> FakeInbox:
    inbox = FakeInbox()
    monkeypatch.setattr(inbox_trigger, "_waiting_drops", inbox.list)
    return inbox


def watch(
    trigger: InboxTrigger, inbox: FakeInbox, polls: int, store: FakeStateStore | None = None
) -> list[TriggerEvent]:
    """Return the events of a number of polls."""
    trigger.asset_state_store = cast("Any", store or FakeStateStore())

    async def collect() -> list[TriggerEvent]:
        events: list[TriggerEvent] = []

        async def run() -> None:
            async for event in trigger.run():
                events.append(event)

        until = inbox.listings + polls
        task = asyncio.create_task(run())
        while inbox.listings < until:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)
        task.cancel()
        return events

    return asyncio.run(collect())


def test_several_drops_cause_one_event(inbox: FakeInbox) -> None:
    inbox.drops = [FakeDrop("b"), FakeDrop("a"), FakeDrop("c")]
    events = watch(InboxTrigger(poll_seconds=0.001), inbox, polls=5)
    assert [event.payload["drops"] for event in events] == [["a", "b", "c"]]


def test_incomplete_drop_is_not_announced(inbox: FakeInbox) -> None:
    inbox.drops = [FakeDrop("a", complete=False)]
    assert watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3) == []


def test_new_drop_beside_announced_ones_causes_an_event(inbox: FakeInbox) -> None:
    store = FakeStateStore()
    inbox.drops = [FakeDrop("a")]
    watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)
    inbox.drops = [FakeDrop("a"), FakeDrop("b")]
    events = watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3, store=store)
    assert [event.payload["drops"] for event in events] == [["a", "b"]]


def test_claimed_drop_causes_no_event(inbox: FakeInbox) -> None:
    store = FakeStateStore()
    inbox.drops = [FakeDrop("a"), FakeDrop("b")]
    watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)
    inbox.drops = [FakeDrop("b")]
    assert watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3, store=store) == []


def test_same_name_with_other_files_is_a_new_drop(inbox: FakeInbox) -> None:
    store = FakeStateStore()
    inbox.drops = [FakeDrop("a", "1")]
    watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)
    inbox.drops = [FakeDrop("a", "2")]
    assert len(watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3, store=store)) == 1


def test_waiting_drop_is_announced_again_at_intervals(inbox: FakeInbox) -> None:
    inbox.drops = [FakeDrop("a")]
    trigger = InboxTrigger(poll_seconds=0.02, reannounce_seconds=0.1)
    events = watch(trigger, inbox, polls=20)
    assert 3 <= len(events) <= 5
    assert len({event.payload["announced_at"] for event in events}) == len(events)


def test_restarted_triggerer_does_not_announce_again(inbox: FakeInbox) -> None:
    store = FakeStateStore()
    inbox.drops = [FakeDrop("a")]
    assert len(watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)) == 1
    assert watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store) == []


def test_failed_listing_is_retried(inbox: FakeInbox) -> None:
    inbox.drops = OSError("the bucket is unreachable")
    trigger = InboxTrigger(poll_seconds=0.001)
    assert watch(trigger, inbox, polls=3) == []
    inbox.drops = [FakeDrop("a")]
    assert len(watch(trigger, inbox, polls=2)) == 1


def test_events_continue_without_a_state_store(inbox: FakeInbox) -> None:
    store = FakeStateStore()
    store.broken = True
    inbox.drops = [FakeDrop("a")]
    assert len(watch(InboxTrigger(poll_seconds=0.001), inbox, polls=4, store=store)) == 1


def test_name_that_is_not_utf_8_is_escaped_in_the_payload(inbox: FakeInbox) -> None:
    inbox.drops = [FakeDrop("bad\udcff")]
    (event,) = watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2)
    assert event.payload["drops"] == ["bad\\udcff"]


def test_trigger_is_restored_from_its_stored_path() -> None:
    path, arguments = InboxTrigger(poll_seconds=3.0, reannounce_seconds=7.0).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(sys.modules[module], name)(**arguments)
    assert path == "tumorml.airflow_plugin.inbox_trigger.InboxTrigger"
    assert again.serialize() == (path, arguments)


def test_trigger_imports_no_heavy_library() -> None:
    code = (
        "import sys, tumorml.airflow_plugin.inbox_trigger, tumorml.scans.inbox.drops;"
        "print([m for m in ('tensorflow', 'keras', 'pandas', 'great_expectations')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
