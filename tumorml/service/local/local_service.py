"""The local service: starts Postgres, Airflow, the API and the web UI, and stops them again."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime

from tumorml.errors import TumorMLError
from tumorml.service.airflow.api import COMPONENTS, AirflowApi
from tumorml.service.airflow.environment import (
    airflow_environment,
    airflow_home,
    needs_local_postgres,
)
from tumorml.service.airflow.pools import POOLS
from tumorml.service.airflow.secrets import load_or_create_secrets
from tumorml.service.local.commands import (
    AIRFLOW_PROCESSES,
    BEFORE_SCHEDULER,
    SERVING_PROCESSES,
    service_commands,
)
from tumorml.service.local.databases import (
    create_databases,
    migrate_databases,
    restart_postgres_if_gone,
)
from tumorml.service.local.first_retraining import INGEST_DAG, RETRAIN_DAG, FirstRetraining
from tumorml.service.local.home_status import read_home_status
from tumorml.service.local.startup_summary import print_access, print_champions
from tumorml.service.local.status_display import StatusDisplay
from tumorml.service.local.stop_signal import StopSignal
from tumorml.service.local.supervision.supervisor import Supervisor
from tumorml.serving.api.api_keys import require_safe_address
from tumorml.settings import Settings
from tumorml.timers import Interval

_HEALTH_TIMEOUT_SECONDS = 300.0
_DAGS_TIMEOUT_SECONDS = 180.0
_POSTGRES_CHECK_SECONDS = 5.0


class LocalService:
    """All processes of `tumorml up`; call `stop` after `start`, also after an error.

    Args:
        settings: Settings of the service.
        display: Receives the progress messages.
        stop_signal: Interrupts waits when the user asks to stop.
    """

    def __init__(self, settings: Settings, display: StatusDisplay, stop_signal: StopSignal) -> None:
        self._settings = settings
        self._display = display
        self._stop_signal = stop_signal
        self._supervisor: Supervisor | None = None
        self._local_postgres = needs_local_postgres(settings)
        self._api: AirflowApi | None = None
        self._postgres_check = Interval(_POSTGRES_CHECK_SECONDS)

    def start(self) -> AirflowApi:
        """Start Postgres, migrate both databases, start all processes, wait until they are healthy.

        Returns:
            A client of the healthy Airflow.

        Raises:
            TumorMLError: A process keeps crashing, or Airflow or a DAG is not ready in time.
            StopRequested: The user asked to stop.
        """
        from tumorml.results.local_postgres import start_local_postgres

        settings, display = self._settings, self._display
        if self._local_postgres:
            with display.step("Starting Postgres", "Postgres is running"):
                start_local_postgres(settings.home)
                create_databases(settings)
        self._stop_signal.check()
        environment = airflow_environment(settings)
        with display.step("Migrating the databases", "The databases are up to date"):
            migrate_databases(settings, environment, self._stop_signal.sleep)
        require_safe_address(settings)
        started = datetime.now(UTC)
        self._supervisor = Supervisor(
            service_commands(settings, environment),
            settings.home / "run" / "children.json",
            display.warn,
        )
        secrets = load_or_create_secrets(airflow_home(settings))
        self._api = api = AirflowApi(settings.airflow_url, secrets.admin_password)
        with display.step("Starting Airflow", "Airflow is healthy"):
            self._supervisor.start(*BEFORE_SCHEDULER)
            self._wait_for_health(api, started, ("metadatabase",))
            api.warm_up()
            # The scheduler starts last: it resumes interrupted tasks, which need the API server.
            self._supervisor.start("scheduler", *SERVING_PROCESSES)
            self._wait_for_health(api, started, COMPONENTS)
            for pool in POOLS:
                api.ensure_pool(pool.name, pool.slots, pool.description)
        with display.step("Waiting for the DAGs", "The DAGs are parsed"):
            self._wait_for_dags(api)
        return api

    def train_first_champion(self, api: AirflowApi, *, demo: bool, once: bool) -> None:
        """Print the start-up summary, and train the first champion of a new home.

        Args:
            api: Client of the healthy Airflow.
            demo: True if a synthetic drop may be made in an empty home.
            once: Raise an error of the first retraining instead of printing it as a warning.

        Raises:
            TumorMLError: With `once`, the first retraining failed or there is no champion; or an
                Airflow process is not running.
        """
        if not once:
            print_access(self._display, self._settings)
            self._display.print("")
        try:
            FirstRetraining(self._settings, api, self._display, self._pause).run(demo)
        except TumorMLError as error:
            running = self._supervisor.pids() if self._supervisor is not None else {}
            if once or not running.keys() >= AIRFLOW_PROCESSES:
                raise
            self._display.warn(str(error))
            return
        print_champions(self._display, self._settings)
        if once and not read_home_status(self._settings).tasks_with_champion:
            raise TumorMLError(
                "There is no champion: this home has its own scans and no retraining was started. "
                f"Run `tumorml up` and start the DAG {RETRAIN_DAG}."
            )

    def serve(self) -> None:
        """Keep all processes running until `StopRequested` is raised."""
        self._display.print("\nServing. Ctrl-C stops everything.")
        while True:
            self._pause(1.0)

    def stop(self) -> None:
        """Stop all processes, Postgres last."""
        started = time.monotonic()
        with self._display.spinner("Stopping"):
            if self._api is not None:
                self._api.close()
            if self._supervisor is not None:
                self._supervisor.stop(urgent=lambda: self._stop_signal.urgent)
            if self._local_postgres:
                from tumorml.results.local_postgres import stop_local_postgres

                stop_local_postgres(self._settings.home)
        self._display.print(f"Everything is stopped ({time.monotonic() - started:.1f} s).")

    def _pause(self, seconds: float) -> None:
        self._stop_signal.sleep(seconds)
        if (
            self._local_postgres
            and self._postgres_check.due()
            and restart_postgres_if_gone(self._settings)
        ):
            self._display.warn("Postgres had stopped; it was restarted.")
        if self._supervisor is not None:
            self._supervisor.watch()

    def _wait_for_health(
        self, api: AirflowApi, since: datetime, components: Collection[str]
    ) -> None:
        deadline = time.monotonic() + _HEALTH_TIMEOUT_SECONDS
        while waiting := ", ".join(name for name in api.unhealthy(since) if name in components):
            self._display.update(f"Starting Airflow: waiting for {waiting}")
            if time.monotonic() > deadline:
                raise TumorMLError(
                    f"Airflow is not healthy after {_HEALTH_TIMEOUT_SECONDS:.0f} seconds; still "
                    f"waiting for: {waiting}. Logs: {self._settings.home / 'logs'}"
                )
            self._pause(0.3)

    def _wait_for_dags(self, api: AirflowApi) -> None:
        deadline = time.monotonic() + _DAGS_TIMEOUT_SECONDS
        while not all(api.has_dag(dag_id) for dag_id in (INGEST_DAG, RETRAIN_DAG)):
            errors = api.import_errors()
            if errors or time.monotonic() > deadline:
                raise TumorMLError(
                    f"Airflow has not loaded the DAGs {INGEST_DAG} and {RETRAIN_DAG}. "
                    + ("\n".join(errors) or f"Logs: {self._settings.home / 'logs'}")
                )
            self._pause(0.5)
