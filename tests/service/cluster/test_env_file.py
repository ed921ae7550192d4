"""The .env file of a compose stack."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from tests.cluster.compose_file import read_env_file, required_variables
from tumorml.cli import app
from tumorml.errors import TumorMLError
from tumorml.service.cluster.env_file import write_env_file


def test_env_file_has_mode_0600_and_next_command_is_printed(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    result = CliRunner().invoke(app, ["init-env", str(path)])
    assert result.exit_code == 0 and "docker compose up" in result.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("POSTGRES_PASSWORD=mine\n")
    with pytest.raises(TumorMLError, match="already exists"):
        write_env_file(path, gpu=False)
    assert path.read_text() == "POSTGRES_PASSWORD=mine\n"


def test_all_required_variables_are_long_and_random(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_env_file(tmp_path / name, gpu=name == "two")
    one, two = read_env_file(tmp_path / "one"), read_env_file(tmp_path / "two")
    assert set(one) - {"COMPOSE_PROFILES"} == required_variables()
    assert (one.pop("COMPOSE_PROFILES"), two.pop("COMPOSE_PROFILES")) == ("cpu", "gpu")
    assert not set(one.values()) & set(two.values())
    assert all(len(value) >= 20 for value in one.values())
    Fernet(one["AIRFLOW_FERNET_KEY"])
    sha256 = hashlib.sha256(one["PAGE_API_KEY"].encode()).hexdigest()
    assert one["PAGE_API_KEY_SHA256"] == sha256


def test_passwords_need_no_url_quoting(tmp_path: Path) -> None:
    write_env_file(tmp_path / ".env", gpu=False)
    for name, value in read_env_file(tmp_path / ".env").items():
        if name.endswith("PASSWORD"):
            assert value.replace("-", "").replace("_", "").isalnum(), name
