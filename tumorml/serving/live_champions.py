"""The champions that a server has loaded, kept up to date with the results store."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.models.artifact import ModelDescription
from tumorml.models.golden_scans import compare_golden_scans
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

REFRESH_SECONDS = 1.0
RETRY_SECONDS = 30.0
"""Wait after a champion failed its golden scans. Transient errors are retried at every refresh."""
STALE_SECONDS = 30.0
"""Age of the last refresh from which the list of champions counts as outdated.

Loading a network takes seconds, so the limit is much longer than the refresh interval.
"""


@dataclass(frozen=True, slots=True)
class LiveChampion:
    """A loaded champion.

    Attributes:
        model_version_id: Its id.
        since: When it became champion.
        served: The network. It must be called from one thread at a time.
        reference: Features of its training scans, if it has them.
        description: The content of its ``model.json``.
        heatmap_claim: Statement about how well its heatmaps locate tumors, or that this was not
            measured; None if the results store has no such model version.
        metric_count: Number of metrics that its run had recorded when ``heatmap_claim`` was read.
    """

    model_version_id: str
    since: datetime
    served: Served
    reference: Reference | None
    description: ModelDescription
    heatmap_claim: str | None
    metric_count: int

    @property
    def task(self) -> Task:
        """Task of the model version."""
        return self.served.task


def load_live_champion(settings: Settings, model_version_id: str, since: datetime) -> LiveChampion:
    """Load a champion and check that it reproduces its golden scans.

    Raises:
        TumorMLError: A probability of a golden scan differs from the stored one by more than the
            tolerance of the promotion policy, or files of the model version are missing or damaged.
    """
    served, reference = fetch_served(settings, model_version_id)
    description = fetch_description(settings, model_version_id)
    if not description.golden:
        raise TumorMLError(
            f"The model version {model_version_id} has no golden scans, so its predictions cannot "
            "be checked. Retrain to get a champion that has them."
        )
    tolerance = load_policy(settings.promotion_policy).golden.tolerance
    for answer in compare_golden_scans(object_store(settings), served, description.golden):
        if not answer.difference <= tolerance:
            raise TumorMLError(
                f"The model version does not reproduce its golden scans: a probability of the scan "
                f"{answer.scan_id} differs by {answer.difference:.2g} from the one stored after "
                f"training (tolerance {tolerance:.2g})."
            )
    claim, metric_count = _read_heatmap_claim(settings, model_version_id)
    return LiveChampion(
        model_version_id, since, served, reference, description, claim, metric_count
    )


class LiveChampions:
    """The loaded champion of each task, compared with the results store every second.

    A new champion replaces the previous one after it has reproduced its golden scans. If it fails,
    the previous one stays.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live: dict[Task, LiveChampion] = {}
        self._failures: dict[str, tuple[str, float]] = {}
        self._refreshed = float("-inf")
        self._thread = PeriodicThread(
            "refreshing the champions",
            REFRESH_SECONDS,
            self.refresh,
            transient=(SQLAlchemyError, OSError),
        )

    def start(self) -> None:
        """Load the current champions, and start to refresh them every second."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """Stop refreshing."""
        self._thread.stop()

    def champion_of(self, task: Task | None) -> LiveChampion | None:
        """Return the champion of a task; without a task, the four-class one before the binary."""
        tasks = (Task.FOUR_CLASS, Task.BINARY) if task is None else (task,)
        live = self._live
        return next((live[name] for name in tasks if name in live), None)

    def all(self) -> list[LiveChampion]:
        """Return all loaded champions, sorted by task."""
        return [champion for _, champion in sorted(self._live.items())]

    def is_up_to_date(self) -> bool:
        """Return True if the last refresh is less than `STALE_SECONDS` old."""
        return time.monotonic() - self._refreshed < STALE_SECONDS

    def failures(self) -> dict[str, str]:
        """Return the champions that could not be loaded: model version id and reason."""
        return {model: reason for model, (reason, _) in self._failures.items()}

    def refresh(self) -> None:
        """Read the current champions from the results store, and load those that are new."""
        with read_session(self._settings) as session:
            rows = [
                (Task(row.task), row.model_version_id, row.since)
                for row in current_champions(session)
            ]
            metric_counts = {model: count_measures(session, model) for _, model, _ in rows}
        self._refreshed = time.monotonic()
        live: dict[Task, LiveChampion] = {}
        failures: dict[str, tuple[str, float]] = {}
        for task, model_version_id, since in rows:
            loaded = self._live.get(task)
            if loaded is not None:
                count = metric_counts.get(loaded.model_version_id, loaded.metric_count)
                if count != loaded.metric_count:
                    # A champion is promoted before its heatmaps are measured.
                    loaded = self._with_heatmap_claim(loaded)
                live[task] = loaded
                if (loaded.model_version_id, loaded.since) == (model_version_id, since):
                    continue
            failure = self._failures.get(model_version_id)
            if failure is None or time.monotonic() > failure[1]:
                try:
                    live[task] = load_live_champion(self._settings, model_version_id, since)
                    logger.info("%s: %s is loaded and serves", task, model_version_id)
                    continue
                except TumorMLError as error:
                    logger.error("%s: %s cannot be loaded: %s", task, model_version_id, error)
                    failure = str(error), time.monotonic() + RETRY_SECONDS
                except Exception as error:  # the previous champion must keep serving in any case
                    logger.exception("%s: %s cannot be loaded", task, model_version_id)
                    failure = type(error).__name__, time.monotonic()
            failures[model_version_id] = failure
        # Request threads read these attributes at any time, so each is replaced in one assignment.
        self._live, self._failures = live, failures

    def _with_heatmap_claim(self, champion: LiveChampion) -> LiveChampion:
        claim, metric_count = _read_heatmap_claim(self._settings, champion.model_version_id)
        return replace(champion, heatmap_claim=claim, metric_count=metric_count)


def _read_heatmap_claim(settings: Settings, model_version_id: str) -> tuple[str | None, int]:
    with read_session(settings) as session:
        count = count_measures(session, model_version_id)
        claim = read_heatmap_claim(session, model_version_id)
    return claim.text if claim else None, count
