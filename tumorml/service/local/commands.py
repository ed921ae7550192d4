"""Commands of the processes that `tumorml up` starts: Airflow's four, the API and the web UI."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tumorml.service.local.supervision.child_processes import ChildCommand
from tumorml.service.local.supervision.supervisor import GRACE_SECONDS
from tumorml.serving.ui.command import ui_command
from tumorml.settings import Settings

BEFORE_SCHEDULER = ("api-server", "dag-processor", "triggerer")
AIRFLOW_PROCESSES = frozenset({*BEFORE_SCHEDULER, "scheduler"})
SERVING_PROCESSES = ("api", "ui")
_SHORT_GRACE_SECONDS = 1.5


def service_commands(settings: Settings, environment: Mapping[str, str]) -> list[ChildCommand]:
    """Return the commands of all child processes, the API server first.

    Args:
        settings: Settings of the service.
        environment: Complete environment of every child.
    """
    # Task logs are read from the disk, so no process has to serve them on another port.
    arguments = {
        "api-server": ["-m", "airflow", "api-server"],
        "scheduler": ["-m", "airflow", "scheduler", "--skip-serve-logs"],
        "dag-processor": ["-m", "airflow", "dag-processor"],
        "triggerer": ["-m", "airflow", "triggerer", "--skip-serve-logs"],
        "api": ["-m", "tumorml.cli", "serve"],
        "ui": ui_command(settings)[1:],
    }
    # These processes take seconds to end and lose nothing when killed: their state is in Postgres.
    killable = ("dag-processor", "triggerer", "ui")
    return [
        ChildCommand(
            name=name,
            arguments=[sys.executable, *words],
            environment=environment,
            folder=settings.home,
            log_path=settings.home / "logs" / f"{name}.log",
            grace_seconds=_SHORT_GRACE_SECONDS if name in killable else GRACE_SECONDS,
            vital=name not in SERVING_PROCESSES,
        )
        for name, words in arguments.items()
    ]
