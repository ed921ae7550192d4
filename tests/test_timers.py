from __future__ import annotations

import logging
import threading
import time

import pytest

from tumorml.timers import Interval, PeriodicThread


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A fake clock: ``time.monotonic`` returns its only item."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_interval_is_due_once_per_interval(clock: list[float]) -> None:
    interval = Interval(5.0)
    due = []
    for seconds in (0.0, 4.9, 5.0, 5.1, 9.9, 10.0, 31.0, 31.0, 35.9, 36.0):
        clock[0] = 100.0 + seconds
        due.append((seconds, interval.due()))
    assert [seconds for seconds, is_due in due if is_due] == [5.0, 10.0, 31.0, 36.0]


def test_periodic_thread_waits_before_the_first_call() -> None:
    calls: list[str] = []
    thread = PeriodicThread("keys", 3600.0, lambda: calls.append(""))
    thread.start()
    thread.stop()
    assert calls == []


def test_periodic_thread_repeats_until_stopped() -> None:
    names: list[str] = []
    thrice = threading.Event()

    def action() -> None:
        names.append(threading.current_thread().name)
        if len(names) == 3:
            thrice.set()

    thread = PeriodicThread("keys", 0.001, action)
    thread.start()
    assert thrice.wait(10.0)
    thread.stop()
    count = len(names)
    time.sleep(0.05)
    assert len(names) == count
    assert set(names) == {"keys"}


def test_periodic_thread_retries_after_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    fourth = threading.Event()

    def action() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise ConnectionError("no route to host")
        if len(calls) == 2:
            raise KeyError("a bug")
        if len(calls) == 4:
            fourth.set()

    thread = PeriodicThread("watch keys", 0.001, action)
    with caplog.at_level(logging.WARNING, logger="tumorml.timers"):
        thread.start()
        assert fourth.wait(10.0)
        thread.stop()
    outage, bug = caplog.records
    assert outage.getMessage() == "watch keys failed, retrying in 0.001 s: no route to host"
    assert not outage.exc_info
    assert bug.getMessage() == "watch keys failed, retrying in 0.001 s: 'a bug'"
    assert bug.exc_info is not None and bug.exc_info[0] is KeyError


def test_stopping_a_thread_that_never_started_does_nothing() -> None:
    PeriodicThread("keys", 1.0, lambda: None).stop()
