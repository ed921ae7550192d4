"""The secrets of a compose stack: drawn once, in a `.env` file for its owner only."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from tumorml.errors import TumorMLError
from tumorml.service.airflow.secrets import ADMIN_USER, new_fernet_key

HEADER = f"""\
# Secrets of this stack, drawn by `tumorml init-env`. Keep a copy where you keep secrets: without
# POSTGRES_PASSWORD and AIRFLOW_FERNET_KEY nobody reads what the databases hold. A password of
# Postgres's roles that is changed here holds from the next `docker compose up` on, but for that of
# POSTGRES_PASSWORD, which is changed in Postgres first. Sign in to Airflow as {ADMIN_USER} with
# AIRFLOW_ADMIN_PASSWORD, change it there, and make an account for each person.
"""


def write_env_file(path: Path, *, gpu: bool) -> None:
    """Write a new `.env` with strong secrets, mode 0600.

    Args:
        path: Of the new file.
        gpu: Whether training runs on this machine's NVIDIA card.

    Raises:
        TumorMLError: There is such a file already, or it cannot be written there.
    """
    text = HEADER + "".join(f"{name}={value}\n" for name, value in draw_variables(gpu).items())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise TumorMLError(
            f"{path} is there already and keeps the secrets of a stack; move it away for new ones."
        ) from None
    except OSError as error:
        raise TumorMLError(f"{path} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def draw_variables(gpu: bool) -> dict[str, str]:
    """Fresh values of all that docker-compose.yml requires; passwords go into URLs as they are."""
    page_key = f"tml_{secrets.token_urlsafe(32)}"
    return {
        "COMPOSE_PROFILES": "gpu" if gpu else "cpu",
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_DATABASE_PASSWORD": secrets.token_hex(24),
        "WRITER_PASSWORD": secrets.token_hex(24),
        "READER_PASSWORD": secrets.token_hex(24),
        "BROKER_PASSWORD": secrets.token_hex(24),
        "S3_ACCESS_KEY": secrets.token_hex(10),
        "S3_SECRET_KEY": secrets.token_hex(24),
        "AIRFLOW_FERNET_KEY": new_fernet_key(),
        "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
        "AIRFLOW_SECRET_KEY": secrets.token_urlsafe(48),
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(18),
        "PAGE_API_KEY": page_key,
        "PAGE_API_KEY_SHA256": hashlib.sha256(page_key.encode()).hexdigest(),
    }
