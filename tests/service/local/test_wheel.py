"""The built wheel, installed outside a checkout: it bundles DAGs, migrations and the policy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tumorml import __version__
from tumorml.settings import PROJECT_ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TINY_RECIPE = PROJECT_ROOT / "tests" / "dags" / "tiny.toml"
LENIENT_POLICY = PROJECT_ROOT / "tests" / "dags" / "lenient.toml"


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel, an empty working folder, and a user's home folder."""

    venv: Path
    folder: Path
    user_home: Path

    def run(self, *arguments: str, **variables: str) -> str:
        """Run a program of the environment that must succeed; return its standard output."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "TUMORML", "PYTHON"))
        }
        program, *words = arguments
        result = subprocess.run(
            [self.venv / "bin" / program, *words],
            env={**inherited, "HOME": str(self.user_home), **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=1500,
        )
        assert result.returncode == 0, f"{result.stdout[-5000:]}\n{result.stderr[-5000:]}"
        return result.stdout


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    # Under root, Postgres runs as another user, who has no access to pytest's own folders.
    root = Path(tempfile.mkdtemp(prefix="tumorml-wheel-"))
    root.chmod(0o711)
    installed = Installation(root / "venv", root / "empty", root / "user")
    installed.folder.mkdir()
    installed.user_home.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*build, "--directory", str(root)], cwd=PROJECT_ROOT, check=True, capture_output=True
    )
    (wheel,) = root.glob("*.whl")
    uv = Path(sys.executable).with_name("uv")
    python = installed.venv / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, installed.venv], check=True)
    install = [str(uv), "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*install, "--python", str(python), str(wheel)], check=True)
    # Makes the dependencies of the test's environment importable. The .pth file of the checkout is
    # ignored there, because Python reads .pth files in its own site-packages only.
    (site_packages,) = installed.venv.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    yield installed
    shutil.rmtree(root)


def test_installed_package_finds_its_bundled_files(installation: Installation) -> None:
    program = "from tumorml.settings import PROJECT_ROOT as root, Settings; print(root);"
    program += "print(Settings().home); print(*sorted(path.name for path in root.iterdir()))"
    root, home, names = installation.run("python", "-c", program).splitlines()
    assert Path(root).is_relative_to(installation.venv)
    assert Path(home) == installation.user_home / ".local" / "share" / "tumorml"
    assert names.split() == ["dags", "migrations", "promotion.toml"]


def test_installed_command_lists_recipes_and_version(installation: Installation) -> None:
    assert "baseline-cnn" in installation.run("tumorml", "recipes")
    assert installation.run("tumorml", "--version").strip() == __version__


def test_installed_service_reaches_its_first_champion(installation: Installation) -> None:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        airflow, api, ui = (str(probe.getsockname()[1]) for probe in probes)
    installation.run(
        *("tumorml", "up", "--once"),
        TUMORML_AIRFLOW_PORT=airflow,
        TUMORML_API_PORT=api,
        TUMORML_UI_PORT=ui,
        TUMORML_DEFAULT_RECIPE=str(TINY_RECIPE),
        TUMORML_PROMOTION_POLICY=str(LENIENT_POLICY),
    )
    champions = installation.run("tumorml", "sql", "--csv", "select task from champion_history")
    assert champions.splitlines() == ["task", "four_class"]
