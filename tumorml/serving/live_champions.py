"""The champions as a server holds them: a new one answers once it has proved itself."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from tumorml.datasets.pixel_cache import read_scan
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.models.artifact import ModelDescription
from tumorml.models.model_versions import fetch_description, fetch_served
from tumorml.models.reference import Reference
from tumorml.models.served import Served
from tumorml.objects import object_store
from tumorml.policy import load_policy
from tumorml.reports.facts.heatmap_claims import count_measures, read_heatmap_claim
from tumorml.results.champions import current_champions
from tumorml.results.session import read_session
from tumorml.settings import Settings
from tumorml.timers import PeriodicThread

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RETRY_SECONDS = 30.0
"""After a champion failed its golden scans; what may pass by itself is tried at every look."""
BLIND_SECONDS = 30.0
"""Without a look for so long, it does not know who is champion; to load one takes seconds."""


@dataclass(frozen=True, slots=True)
class Live:
    """One champion, ready to answer.

    Attributes:
        model_version_id: Its id.
        since: When it became champion.
        served: What answers; from one thread at a time.
        reference: What it remembers of its training, if it does.
        description: What its ``model.json`` holds.
        heatmap_claim: What its heatmaps are worth, where a run of its own has measured that.
        measures: How many numbers that run had written down when this was read.
    """

    model_version_id: str
    since: datetime
    served: Served
    reference: Reference | None
    description: ModelDescription
    heatmap_claim: str | None
    measures: int

    @property
    def task(self) -> Task:
        """What it decides."""
        return self.served.task


def load_live(settings: Settings, model_version_id: str, since: datetime) -> Live:
    """A champion, once it has repeated its golden scans.

    Raises:
        TumorMLError: It answers otherwise than when it was trained, or is not whole.
    """
    served, reference = fetch_served(settings, model_version_id)
    description = fetch_description(settings, model_version_id)
    if not description.golden:
        raise TumorMLError("It has no golden scans, so nobody can tell whether it answers rightly.")
    tolerance = load_policy(settings.promotion_policy).golden.tolerance
    store = object_store(settings)
    for scan, expected in description.golden.items():
        image = read_scan(store, scan, served.input_size)
        difference = float(np.abs(served.predict(image[None])[0] - expected).max())
        if not difference <= tolerance:
            raise TumorMLError(
                f"It answers otherwise than when it was trained: a probability of the golden "
                f"scan {scan} differs by {difference:.2g}."
            )
    with read_session(settings) as session:
        measures = count_measures(session, model_version_id)
        claim = read_heatmap_claim(session, model_version_id)
    return Live(
        model_version_id, since, served, reference, description, claim and claim.text, measures
    )


class LiveChampions:
    """The champion of each task, looked for again every second.

    A new champion answers once it has repeated its golden scans; until then, and where it fails,
    the old one goes on.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live: dict[Task, Live] = {}
        self._failed: dict[str, tuple[str, float]] = {}
        self._looked = float("-inf")
        self._thread = PeriodicThread(
            "reading the champions", LOOK_SECONDS, self.look, transient=(SQLAlchemyError, OSError)
        )

    def start(self) -> None:
        """Load the champions there are, and go on looking."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._thread.stop()

    def of(self, task: Task | None) -> Live | None:
        """Who answers for a task, or for the four-class one before the binary one."""
        tasks = (Task.FOUR_CLASS, Task.BINARY) if task is None else (task,)
        live = self._live
        return next((live[name] for name in tasks if name in live), None)

    def all(self) -> list[Live]:
        """All who answer."""
        return [live for _, live in sorted(self._live.items())]

    def sees(self) -> bool:
        """Whether it has seen lately who is champion."""
        return time.monotonic() - self._looked < BLIND_SECONDS

    def failed(self) -> dict[str, str]:
        """Champions that do not answer here, and why."""
        return {model: problem for model, (problem, _) in self._failed.items()}

    def look(self) -> None:
        """See who is champion now, and change to whom has changed."""
        with read_session(self._settings) as session:
            rows = [
                (row.task, row.model_version_id, row.since) for row in current_champions(session)
            ]
            measured = {model: count_measures(session, model) for _, model, _ in rows}
        self._looked = time.monotonic()
        live: dict[Task, Live] = {}
        failed: dict[str, tuple[str, float]] = {}
        for task, model_version_id, since in rows:
            now = self._live.get(Task(task))
            if now is not None:
                if measured.get(now.model_version_id, now.measures) != now.measures:
                    now = self._explained(now)  # a champion serves before it is explained
                live[Task(task)] = now
                if (now.model_version_id, now.since) == (model_version_id, since):
                    continue
            problem = self._failed.get(model_version_id)
            if problem is None or time.monotonic() > problem[1]:
                try:
                    live[Task(task)] = load_live(self._settings, model_version_id, since)
                    logger.info("%s answers for %s", model_version_id, task)
                    continue
                except TumorMLError as error:
                    logger.error("%s cannot answer for %s: %s", model_version_id, task, error)
                    problem = str(error), time.monotonic() + RETRY_SECONDS
                except Exception as error:  # whatever it is, the old one goes on
                    logger.exception("%s cannot answer for %s", model_version_id, task)
                    problem = type(error).__name__, time.monotonic()
            failed[model_version_id] = problem
        # In one step: others read it meanwhile.
        self._live, self._failed = live, failed

    def _explained(self, live: Live) -> Live:
        with read_session(self._settings) as session:
            measures = count_measures(session, live.model_version_id)
            claim = read_heatmap_claim(session, live.model_version_id)
        return replace(live, heatmap_claim=claim and claim.text, measures=measures)
