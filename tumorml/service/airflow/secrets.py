"""Keys and admin password of the local Airflow: created once, in files with mode 0600."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from tumorml.files import write_atomically

ADMIN_USER = "admin"


@dataclass(frozen=True)
class AirflowSecrets:
    """Secrets that all Airflow processes share and that stay the same between starts.

    Attributes:
        fernet_key: Encrypts connections and trigger arguments in Airflow's database.
        jwt_secret: Signs the tokens of users and of running tasks.
        api_secret_key: Signs the sessions of the API server.
        admin_password: Password of the one user, `ADMIN_USER`.
    """

    fernet_key: str
    jwt_secret: str
    api_secret_key: str
    admin_password: str


def new_fernet_key() -> str:
    """Return a new Fernet key: 32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def secrets_path(airflow_home: Path) -> Path:
    """Return the path of the file with the keys."""
    return airflow_home / "secrets.json"


def passwords_path(airflow_home: Path) -> Path:
    """Return the path of SimpleAuthManager's password file: a JSON object, user to password."""
    return airflow_home / "passwords.json"


def load_or_create_secrets(airflow_home: Path) -> AirflowSecrets:
    """Read the keys and the password under `airflow_home`; create the missing ones.

    A user may change the password in its file: an existing password is never overwritten.
    """
    airflow_home.mkdir(parents=True, exist_ok=True)
    keys = _read_or_write(
        secrets_path(airflow_home),
        {
            "fernet_key": new_fernet_key(),
            "jwt_secret": secrets.token_urlsafe(48),
            "api_secret_key": secrets.token_urlsafe(48),
        },
    )
    passwords = _read_or_write(
        passwords_path(airflow_home), {ADMIN_USER: secrets.token_urlsafe(18)}
    )
    return AirflowSecrets(
        fernet_key=keys["fernet_key"],
        jwt_secret=keys["jwt_secret"],
        api_secret_key=keys["api_secret_key"],
        admin_password=passwords[ADMIN_USER],
    )


def _read_or_write(path: Path, fresh: dict[str, str]) -> dict[str, str]:
    """Return the JSON object of a file after adding the entries of `fresh` that it lacks."""
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    merged = fresh | kept
    if merged != kept:
        write_atomically(path, f"{json.dumps(merged)}\n".encode(), mode=0o600)
    path.chmod(0o600)
    return merged
