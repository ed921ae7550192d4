"""`tumorml prepare`: roles, databases, schemas, pools and the admin account of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from tumorml.errors import TumorMLError
from tumorml.service.airflow.environment import DATABASE_VARIABLE, airflow_environment
from tumorml.settings import Settings

ADMIN_PASSWORD_VARIABLE = "TUMORML_ADMIN_PASSWORD"  # noqa: S105 - the name of the variable, not a password
"""Variable with the password of the first account, where Airflow keeps accounts in its database."""


def prepare(settings: Settings, report: Callable[[str], None]) -> None:
    """Create roles, databases, both schemas, pools and the admin account; idempotent.

    Args:
        settings: Settings with the URL of the results store. With the URL of its owner, roles and
            databases are created too.
        report: Receives a message after each step.

    Raises:
        TumorMLError: The URL of Airflow's database or of the results store is missing, or a step
            failed.
    """
    airflow_url = os.environ.get(DATABASE_VARIABLE)
    if not airflow_url or not settings.database_url:
        raise TumorMLError(
            f"Set {DATABASE_VARIABLE} and TUMORML_DATABASE_URL: `tumorml prepare` needs the "
            "databases of a cluster. `tumorml up` prepares the databases of a local home."
        )
    if settings.owner_database_url:
        from tumorml.service.cluster.postgres_server import create_roles_and_databases

        create_roles_and_databases(settings, airflow_url)
        report("the roles and databases exist")

    from tumorml.results.migrate import migrate

    migrate(settings)
    report("the results store has the newest schema")
    environment = airflow_environment(settings)
    _run([sys.executable, "-m", "airflow", "db", "migrate"], environment)
    report("Airflow's database has the newest schema")
    quiet = {f"AIRFLOW__LOGGING__{name}LOGGING_LEVEL": "WARNING" for name in ("", "FAB_")}
    _run(
        [sys.executable, "-m", "tumorml.service.cluster.create_pools_and_admin"],
        environment | quiet,
    )
    report("the pools and the admin account exist")


def _run(command: list[str], environment: dict[str, str]) -> None:
    if subprocess.run(command, env=environment, check=False).returncode:
        raise TumorMLError(f"`{' '.join(command[2:])}` failed; see the output above.")
