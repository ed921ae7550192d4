"""Create the pools and the admin account in a migrated Airflow database.

`tumorml prepare` runs this module in a new process with Airflow's environment, because Airflow
reads its environment at import.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.configuration import conf
from airflow.models.pool import Pool
from airflow.providers_manager import ProvidersManager
from airflow.utils.session import create_session

from tumorml.service.airflow.pools import POOLS
from tumorml.service.airflow.secrets import ADMIN_USER
from tumorml.service.cluster.prepare import ADMIN_PASSWORD_VARIABLE


def ensure_pools() -> None:
    """Create the missing pools; the size of an existing pool is kept."""
    with create_session() as session:
        for name, slots, description in POOLS:
            if Pool.get_pool(name, session=session) is None:
                Pool.create_or_update_pool(name, slots, description, False, session=session)


def ensure_admin(password: str) -> None:
    """Create the account `ADMIN_USER` if it is missing; an existing password is kept."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        accounts = builder.sm
        if accounts.find_user(ADMIN_USER) is None:
            role = accounts.find_role("Admin")
            accounts.add_user(
                ADMIN_USER, "First", "Account", "admin@tumorml.invalid", role, password
            )


if __name__ == "__main__":
    manager: Any = ProvidersManager
    manager().initialize_providers_configuration()
    ensure_pools()
    if "fab" in conf.get("core", "auth_manager"):
        ensure_admin(os.environ[ADMIN_PASSWORD_VARIABLE])
