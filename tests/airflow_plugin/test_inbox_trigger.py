"""The inbox trigger; only the listing of the inbox and Airflow's state store are stood in for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from tumorml.airflow_plugin import inbox_trigger
from tumorml.airflow_plugin.inbox_trigger import InboxTrigger


@dataclass
class Drop:
    name: str
    fingerprint: str = "1"
    complete: bool = True


class StateStore:
    """Airflow's ``asset_state_store``, which lives in its database and outlives the trigger."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.broken = False

    async def aget(self, key: str) -> Any:
        if self.broken:
            raise RuntimeError("the API server is away")
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        if self.broken:
            raise RuntimeError("the API server is away")
        self.values[key] = value


class Inbox:
    """What a listing of the inbox finds; an exception is raised instead."""

    def __init__(self) -> None:
        self.drops: list[Drop] | Exception = []
        self.listings = 0

    def list(self) -> list[Drop]:
        self.listings += 1
        if isinstance(self.drops, Exception):
            raise self.drops
        return self.drops


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Inbox:
    inbox = Inbox()
    monkeypatch.setattr(inbox_trigger, "_waiting_drops", inbox.list)
    return inbox


def watch(
    trigger: InboxTrigger, inbox: Inbox, polls: int, store: StateStore | None = None
) -> list[TriggerEvent]:
    """The events of so many polls."""
    trigger.asset_state_store = store or StateStore()

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


def test_several_drops_make_one_event_and_not_a_second_one(inbox: Inbox) -> None:
    inbox.drops = [Drop("b"), Drop("a"), Drop("c")]
    events = watch(InboxTrigger(poll_seconds=0.001), inbox, polls=5)
    assert [event.payload["drops"] for event in events] == [["a", "b", "c"]]


def test_a_drop_that_is_not_complete_is_not_announced(inbox: Inbox) -> None:
    inbox.drops = [Drop("a", complete=False)]
    assert watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3) == []


def test_a_drop_that_joins_those_announced_is_announced(inbox: Inbox) -> None:
    store = StateStore()
    inbox.drops = [Drop("a")]
    watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)
    inbox.drops = [Drop("a"), Drop("b")]
    events = watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3, store=store)
    assert [event.payload["drops"] for event in events] == [["a", "b"]]


def test_taking_one_of_two_drops_in_announces_nothing_new(inbox: Inbox) -> None:
    store = StateStore()
    inbox.drops = [Drop("a"), Drop("b")]
    watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)
    inbox.drops = [Drop("b")]
    assert watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3, store=store) == []


def test_the_same_name_with_other_files_is_another_drop(inbox: Inbox) -> None:
    store = StateStore()
    inbox.drops = [Drop("a", "1")]
    watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)
    inbox.drops = [Drop("a", "2")]
    assert len(watch(InboxTrigger(poll_seconds=0.001), inbox, polls=3, store=store)) == 1


def test_what_still_waits_is_announced_again_after_a_while(inbox: Inbox) -> None:
    inbox.drops = [Drop("a")]
    trigger = InboxTrigger(poll_seconds=0.02, reannounce_seconds=0.1)
    events = watch(trigger, inbox, polls=20)
    assert 3 <= len(events) <= 5
    assert len({event.payload["announced_at"] for event in events}) == len(events)


def test_a_restarted_triggerer_does_not_announce_again(inbox: Inbox) -> None:
    store = StateStore()
    inbox.drops = [Drop("a")]
    assert len(watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store)) == 1
    assert watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2, store=store) == []


def test_an_inbox_that_cannot_be_listed_is_tried_again(inbox: Inbox) -> None:
    inbox.drops = OSError("the bucket is away")
    trigger = InboxTrigger(poll_seconds=0.001)
    assert watch(trigger, inbox, polls=3) == []
    inbox.drops = [Drop("a")]
    assert len(watch(trigger, inbox, polls=2)) == 1


def test_a_state_store_that_does_not_answer_silences_nothing(inbox: Inbox) -> None:
    store = StateStore()
    store.broken = True
    inbox.drops = [Drop("a")]
    assert len(watch(InboxTrigger(poll_seconds=0.001), inbox, polls=4, store=store)) == 1


def test_a_name_that_is_not_utf_8_can_be_kept_as_json_by_postgres(inbox: Inbox) -> None:
    inbox.drops = [Drop("bad\udcff")]
    (event,) = watch(InboxTrigger(poll_seconds=0.001), inbox, polls=2)
    assert event.payload["drops"] == ["bad\\udcff"]


def test_airflow_can_store_the_trigger_and_make_it_again() -> None:
    path, arguments = InboxTrigger(poll_seconds=3.0, reannounce_seconds=7.0).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(sys.modules[module], name)(**arguments)
    assert again.serialize() == (path, arguments)


def test_loading_the_trigger_loads_nothing_heavy() -> None:
    code = (
        "import sys, tumorml.airflow_plugin.inbox_trigger, tumorml.scans.inbox.drops;"
        "print([m for m in ('tensorflow', 'keras', 'pandas', 'great_expectations')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
