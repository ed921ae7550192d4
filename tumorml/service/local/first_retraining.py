"""The first retraining of an empty home: synthetic drop, ingest, retraining, first champion."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tumorml.demo import SYNTHETIC_DROP
from tumorml.errors import TumorMLError
from tumorml.service.airflow.api import ACTIVE_STATES, AirflowApi
from tumorml.service.airflow.environment import task_log_folder
from tumorml.service.local.home_status import (
    epochs_after,
    latest_batch,
    latest_run,
    latest_verdict,
    read_home_status,
)
from tumorml.service.local.status_display import StatusDisplay
from tumorml.settings import Settings

INGEST_DAG = "ingest_scans"
RETRAIN_DAG = "retrain_champion"
FIRST_RUN_ID = "first-champion"
_INGEST_TIMEOUT_SECONDS = 600.0
_POLL_SECONDS = 1.0


class FirstRetraining:
    """Trains the first champion of a home; continues if an earlier start was interrupted.

    Args:
        settings: Settings of the service.
        api: Client of a healthy Airflow.
        display: Receives the progress messages.
        pause: Waits for a number of seconds and keeps the child processes running; may raise.
    """

    def __init__(
        self,
        settings: Settings,
        api: AirflowApi,
        display: StatusDisplay,
        pause: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._api = api
        self._display = display
        self._pause = pause

    def run(self, demo: bool) -> None:
        """Train the first champion; return at once if there is one or if users have dropped scans.

        An unfinished first retraining is followed to its end. Otherwise a synthetic drop is made
        only in a home without batches and with an empty inbox, and a first retraining is started
        only if the synthetic drop is the only batch. A home with the user's own scans is retrained
        by the user or by the nightly run.

        Args:
            demo: True if a synthetic drop may be made.

        Raises:
            TumorMLError: The ingest or the retraining failed, or ended without a champion.
        """
        home = read_home_status(self._settings)
        if home.tasks_with_champion:
            return
        run_id = self._active_run()
        if run_id is None:
            if not demo or not home.only_synthetic:
                return
            if not self._ensure_synthetic_drop(home.batches):
                return
            self._follow_ingest()
            run_id = self._trigger()
        self._follow_retraining(run_id)

    def _ensure_synthetic_drop(self, batches: int) -> bool:
        """Put the synthetic drop into an empty inbox; return whether the home has that drop."""
        from tumorml.demo.drop import write_demo_drop
        from tumorml.scans.inbox.drops import waiting_drops
        from tumorml.scans.ingest.put_drop import put_drop

        if batches:
            return True
        waiting = {drop.name for drop in waiting_drops(self._settings)}
        if waiting - {SYNTHETIC_DROP}:
            self._display.print(
                "Your own drops are in the inbox, so no synthetic scans are made; start the first "
                f"retraining with the DAG {RETRAIN_DAG} after they are ingested."
            )
            return False
        if not waiting:
            with (
                self._display.step(
                    "Drawing a first drop of SYNTHETIC scans",
                    "A drop of SYNTHETIC scans is in the inbox",
                ),
                tempfile.TemporaryDirectory(prefix="tumorml-synthetic-") as folder,
            ):
                write_demo_drop(Path(folder))
                put_drop(self._settings, Path(folder), name=SYNTHETIC_DROP)
        return True

    def _follow_ingest(self) -> None:
        deadline = time.monotonic() + _INGEST_TIMEOUT_SECONDS
        failed_before = {
            run["dag_run_id"] for run in self._api.runs(INGEST_DAG) if run["state"] == "failed"
        }
        with self._display.step("Ingesting the drop", "The drop is ingested"):
            while True:
                state, reason, counts = latest_batch(self._settings, SYNTHETIC_DROP)
                if state == "quarantined":
                    raise TumorMLError(f"The synthetic drop was quarantined: {reason}")
                runs = self._runs(INGEST_DAG)
                for run in runs:
                    if run["state"] == "failed" and run["dag_run_id"] not in failed_before:
                        raise TumorMLError(self._failure(INGEST_DAG, run["dag_run_id"]))
                # The DAG run assigns groups to the scans after the batch is ingested.
                if state == "ingested" and not any(run["state"] in ACTIVE_STATES for run in runs):
                    break
                if time.monotonic() > deadline:
                    raise TumorMLError(
                        f"The drop was not ingested within {_INGEST_TIMEOUT_SECONDS:.0f} seconds. "
                        f"Check the DAG {INGEST_DAG} in the UI and the log "
                        f"{self._settings.home / 'logs' / 'triggerer.log'}."
                    )
                self._pause(_POLL_SECONDS)
        self._display.print(
            "  " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        )

    def _trigger(self) -> str:
        used_ids = {run["dag_run_id"] for run in self._api.runs(RETRAIN_DAG)}
        names = (FIRST_RUN_ID if n == 1 else f"{FIRST_RUN_ID}-{n}" for n in range(1, 1000))
        run_id = next(name for name in names if name not in used_ids)
        self._api.trigger(RETRAIN_DAG, run_id, {"task": "four_class"})
        return run_id

    def _active_run(self) -> str | None:
        """Return the id of an unfinished first retraining; nightly runs do not count."""
        for run in self._api.runs(RETRAIN_DAG):
            if run["state"] in ACTIVE_STATES and run["dag_run_id"].startswith(FIRST_RUN_ID):
                return str(run["dag_run_id"])
        return None

    def _follow_retraining(self, run_id: str) -> None:
        printed_tasks: set[tuple[str, int]] = set()
        epoch = 0
        with self._display.step(
            f"Running the first retraining ({RETRAIN_DAG}, {run_id})",
            "The first retraining is finished",
        ):
            while True:
                # Read the state first, so that the last epochs and tasks of the run are printed.
                state = self._run_state(run_id)
                epoch = self._print_epochs(run_id, epoch)
                self._print_finished_tasks(run_id, printed_tasks)
                if state == "failed":
                    raise TumorMLError(self._failure(RETRAIN_DAG, run_id))
                if state == "success":
                    break
                self._pause(_POLL_SECONDS)
        if not read_home_status(self._settings).tasks_with_champion:
            verdict = latest_verdict(self._settings, run_id)
            reason = "it has no verdict" if verdict is None else f"{verdict[0]}: {verdict[1]}"
            raise TumorMLError(f"The first retraining ended without a champion ({reason}).")

    def _print_finished_tasks(self, run_id: str, printed: set[tuple[str, int]]) -> None:
        running = []
        for task in self._tasks(RETRAIN_DAG, run_id):
            key = (task["task_id"], task["map_index"])
            if task["state"] == "running":
                running.append(task["task_id"])
            if task["state"] == "success" and key not in printed:
                printed.add(key)
                self._display.print(f"  {task['task_id']} ({task['duration'] or 0:.1f} s)")
        if running:
            self._display.update(f"{RETRAIN_DAG}: {', '.join(sorted(set(running)))}")

    def _print_epochs(self, airflow_run_id: str, last: int) -> int:
        """Print the epochs after `last`; return the number of the newest epoch."""
        run = latest_run(self._settings, airflow_run_id)
        if run is None:
            return last
        run_id, planned_epochs = run
        for row in epochs_after(self._settings, run_id, last):
            self._display.print(
                f"    epoch {row.epoch}/{planned_epochs} ({row.phase}): loss {row.loss:.3f}, "
                f"accuracy {row.accuracy:.1%}, validation {row.validation_accuracy:.1%}, "
                f"{row.seconds:.1f} s"
            )
            last = row.epoch
        return last

    def _run_state(self, run_id: str) -> str | None:
        try:
            return self._api.run_state(RETRAIN_DAG, run_id)
        except httpx.HTTPError:
            return None

    def _runs(self, dag_id: str) -> list[dict[str, Any]]:
        # The API server may be busy or restarting; the next poll tries again.
        try:
            return self._api.runs(dag_id)
        except httpx.HTTPError:
            return []

    def _tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        try:
            return self._api.tasks(dag_id, run_id)
        except httpx.HTTPError:
            return []

    def _failure(self, dag_id: str, run_id: str) -> str:
        lines = [f"The run {run_id} of {dag_id} failed."]
        for task in self._tasks(dag_id, run_id):
            if task["state"] == "failed":
                folder = task_log_folder(self._settings) / f"dag_id={dag_id}" / f"run_id={run_id}"
                folder /= f"task_id={task['task_id']}"
                if int(str(task["map_index"])) >= 0:
                    folder /= f"map_index={task['map_index']}"
                log = folder / f"attempt={task['try_number']}.log"
                lines.append(f"The task {task['task_id']} failed; its log: {log}")
        return "\n".join(lines)
