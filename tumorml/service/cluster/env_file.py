"""Random secrets of a compose stack in a `.env` file with mode 0600."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from tumorml.errors import TumorMLError
from tumorml.service.airflow.secrets import ADMIN_USER, new_fernet_key

HEADER = f"""\
# Secrets of this stack, written by `tumorml init-env`. Keep a copy in a safe place: without
# POSTGRES_PASSWORD and AIRFLOW_FERNET_KEY the databases cannot be read. If you change the password
# of a Postgres role here, the next `docker compose up` applies it. POSTGRES_PASSWORD is the
# exception: change it in Postgres first. Sign in to Airflow as {ADMIN_USER} with
# AIRFLOW_ADMIN_PASSWORD, change that password there, and create an account for each person.
"""


def write_env_file(path: Path, *, gpu: bool) -> None:
    """Write a new `.env` with strong secrets, mode 0600.

    Args:
        path: Path of the new file.
        gpu: Whether training uses this machine's NVIDIA GPU.

    Raises:
        TumorMLError: The file exists already or cannot be written.
    """
    text = HEADER + "".join(f"{name}={value}\n" for name, value in draw_variables(gpu).items())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise TumorMLError(
            f"{path} already exists and contains the secrets of a stack; move it away to create "
            "new ones."
        ) from None
    except OSError as error:
        raise TumorMLError(f"Cannot write {path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def draw_variables(gpu: bool) -> dict[str, str]:
    """Return new values of all variables of docker-compose.yml; passwords are safe in URLs."""
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
