"""From an empty home to the first champion: a synthetic drop, its ingest, the first retraining."""

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
    batch_outcome,
    epochs_after,
    read_standing,
    run_of,
    verdict_of,
)
from tumorml.service.local.screen import Screen
from tumorml.settings import Settings

INGEST_DAG = "ingest_scans"
RETRAIN_DAG = "retrain_champion"
FIRST_RUN_ID = "first-champion"
_INGEST_PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 1.0


class FirstRun:
    """Leads a home to its first champion, or goes on where an earlier start left off.

    Args:
        settings: Of the service.
        api: Airflow's, healthy.
        screen: Where to say what happens.
        pause: Waits for so many seconds and keeps the children running meanwhile; may raise.
    """

    def __init__(
        self,
        settings: Settings,
        api: AirflowApi,
        screen: Screen,
        pause: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._api = api
        self._screen = screen
        self._pause = pause

    def lead(self, demo: bool) -> None:
        """Return once there is a champion, or when there is nothing here to be led.

        A first run that was left unfinished is followed. Otherwise the synthetic first drop is made
        only in a home with no batch and nothing in its inbox, and the first retraining is started
        only where that drop is all there is: a user's own scans wait for the user or the night.

        Raises:
            TumorMLError: The ingest or the retraining failed, or ended without a champion.
        """
        standing = read_standing(self._settings)
        if standing.tasks_with_champion:
            return
        run_id = self._active_run()
        if run_id is None:
            if not demo or not standing.only_synthetic:
                return
            if not self._has_synthetic_drop(standing.batches):
                return
            self._follow_ingest()
            run_id = self._trigger()
        self._follow_retraining(run_id)

    def _has_synthetic_drop(self, batches: int) -> bool:
        """Whether the synthetic drop is there or could be put there."""
        from tumorml.demo.drop import write_demo_drop
        from tumorml.scans.inbox.drops import put_drop, waiting_drops

        if batches:
            return True
        waiting = {drop.name for drop in waiting_drops(self._settings)}
        if waiting - {SYNTHETIC_DROP}:
            self._screen.say(
                "Drops of yours wait in the inbox, so no synthetic ones are made; "
                f"start the first retraining when they are in: the DAG {RETRAIN_DAG}."
            )
            return False
        if not waiting:
            doing = "Painting a first drop of SYNTHETIC scans"
            with (
                self._screen.step(doing, "A drop of SYNTHETIC scans lies in the inbox"),
                tempfile.TemporaryDirectory(prefix="tumorml-synthetic-") as folder,
            ):
                write_demo_drop(Path(folder))
                put_drop(self._settings, Path(folder), name=SYNTHETIC_DROP)
        return True

    def _follow_ingest(self) -> None:
        until = time.monotonic() + _INGEST_PATIENCE_SECONDS
        seen = {run["dag_run_id"] for run in self._api.runs(INGEST_DAG) if run["state"] == "failed"}
        with self._screen.step("The inbox's drop is being taken in", "The drop is taken in"):
            while True:
                state, reason, counts = batch_outcome(self._settings, SYNTHETIC_DROP)
                if state == "quarantined":
                    raise TumorMLError(f"The synthetic drop was quarantined: {reason}")
                runs = self._runs(INGEST_DAG)
                for run in runs:
                    if run["state"] == "failed" and run["dag_run_id"] not in seen:
                        raise TumorMLError(self._failure(INGEST_DAG, run["dag_run_id"]))
                # After the batch's own rows, its scans are still given their groups.
                if state == "ingested" and not any(run["state"] in ACTIVE_STATES for run in runs):
                    break
                if time.monotonic() > until:
                    raise TumorMLError(
                        f"The inbox's drop was not taken in within {_INGEST_PATIENCE_SECONDS:.0f} "
                        f"seconds. Look at the DAG {INGEST_DAG} in the UI and at "
                        f"{self._settings.home / 'logs' / 'triggerer.log'}."
                    )
                self._pause(_POLL_SECONDS)
        self._screen.say(
            "  " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        )

    def _trigger(self) -> str:
        taken = {run["dag_run_id"] for run in self._api.runs(RETRAIN_DAG)}
        names = (FIRST_RUN_ID if n == 1 else f"{FIRST_RUN_ID}-{n}" for n in range(1, 1000))
        run_id = next(name for name in names if name not in taken)
        self._api.trigger(RETRAIN_DAG, run_id, {"task": "four_class"})
        return run_id

    def _active_run(self) -> str | None:
        """A first run that an earlier start left unfinished; a nightly run is none of ours."""
        for run in self._api.runs(RETRAIN_DAG):
            if run["state"] in ACTIVE_STATES and run["dag_run_id"].startswith(FIRST_RUN_ID):
                return str(run["dag_run_id"])
        return None

    def _follow_retraining(self, run_id: str) -> None:
        done: set[tuple[str, int]] = set()
        epoch = 0
        with self._screen.step(
            f"The first retraining runs ({RETRAIN_DAG}, {run_id})", "The first retraining is over"
        ):
            while True:
                # The state is asked first, so that nothing is missed of a run that just ended.
                state = self._run_state(run_id)
                epoch = self._say_epochs(run_id, epoch)
                self._say_finished_tasks(run_id, done)
                if state == "failed":
                    raise TumorMLError(self._failure(RETRAIN_DAG, run_id))
                if state == "success":
                    break
                self._pause(_POLL_SECONDS)
        if not read_standing(self._settings).tasks_with_champion:
            verdict = verdict_of(self._settings, run_id)
            why = "it reached no verdict" if verdict is None else f"{verdict[0]}: {verdict[1]}"
            raise TumorMLError(f"The first retraining left no champion ({why}).")

    def _say_finished_tasks(self, run_id: str, done: set[tuple[str, int]]) -> None:
        running = []
        for task in self._tasks(RETRAIN_DAG, run_id):
            key = (task["task_id"], task["map_index"])
            if task["state"] == "running":
                running.append(task["task_id"])
            if task["state"] == "success" and key not in done:
                done.add(key)
                self._screen.say(f"  {task['task_id']} ({task['duration'] or 0:.1f} s)")
        if running:
            self._screen.update(f"{RETRAIN_DAG}: {', '.join(sorted(set(running)))}")

    def _say_epochs(self, run_id: str, last: int) -> int:
        run = run_of(self._settings, run_id)
        if run is None:
            return last
        for row in epochs_after(self._settings, run[0], last):
            self._screen.say(
                f"    epoch {row.epoch}/{run[1]} ({row.phase}): loss {row.loss:.3f}, accuracy "
                f"{row.accuracy:.1%}, validation {row.validation_accuracy:.1%}, {row.seconds:.1f} s"
            )
            last = row.epoch
        return last

    def _run_state(self, run_id: str) -> str | None:
        try:
            return self._api.run_state(RETRAIN_DAG, run_id)
        except httpx.HTTPError:
            return None

    def _runs(self, dag_id: str) -> list[dict[str, Any]]:
        # The API server may be busy or just being started again; the next look will tell.
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
