"""`tumorml prepare`: what the databases of a cluster need before its services start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from tumorml.errors import TumorMLError
from tumorml.service.airflow.environment import DATABASE_VARIABLE, airflow_environment
from tumorml.settings import Settings

ADMIN_PASSWORD_VARIABLE = "TUMORML_ADMIN_PASSWORD"  # noqa: S105 - its name
"""Of the first account in Airflow, where its auth manager keeps accounts in the database."""


def prepare(settings: Settings, say: Callable[[str], None]) -> None:
    """Roles, databases, both schemas, pools and the first account; done twice, it changes nothing.

    Args:
        settings: Name the results store, as its owner too where roles and databases may be made.
        say: Is told each step that is done.

    Raises:
        TumorMLError: Airflow's database or the results store is not named, or a step failed.
    """
    airflow_url = os.environ.get(DATABASE_VARIABLE)
    if not airflow_url or not settings.database_url:
        raise TumorMLError(
            f"A cluster's databases are prepared where {DATABASE_VARIABLE} and "
            "TUMORML_DATABASE_URL name them; `tumorml up` prepares those of a home."
        )
    if settings.owner_database_url:
        from tumorml.service.cluster.postgres_server import create_roles_and_databases

        create_roles_and_databases(settings, airflow_url)
        say("the roles and databases are there")

    from tumorml.results.migrate import migrate

    migrate(settings)
    say("the results store is at the newest schema")
    environment = airflow_environment(settings)
    _run([sys.executable, "-m", "airflow", "db", "migrate"], environment)
    say("Airflow's database is at its newest schema")
    quiet = {f"AIRFLOW__LOGGING__{name}LOGGING_LEVEL": "WARNING" for name in ("", "FAB_")}
    _run([sys.executable, "-m", "tumorml.service.airflow.furnish"], environment | quiet)
    say("the pools and the first account are there")


def _run(command: list[str], environment: dict[str, str]) -> None:
    if subprocess.run(command, env=environment, check=False).returncode:
        raise TumorMLError(f"`{' '.join(command[2:])}` failed; the lines above say why.")
