"""API and web UI with only the packages of the serving image: no Airflow, no TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.docker.as_installed_in import NotInstalled

ANSWER = Path(__file__).with_name("answer.py")


def test_serving_image_has_no_airflow_and_no_tensorflow() -> None:
    lacking = NotInstalled("serving").lacking
    assert {"airflow", "tensorflow", "keras", "great_expectations", "sklearn"} <= lacking
    assert not {"fastapi", "uvicorn", "streamlit", "ai_edge_litert"} & lacking


def test_serving_image_predicts_a_scan(
    champion: str, picture: Path, environment: dict[str, str]
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.docker.as_installed_in", "serving", ANSWER, picture],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    live, status, answer = json.loads(result.stdout.splitlines()[-1])
    assert (live, status, answer["model_version"]) == (200, 200, champion)
    assert 0 < sum(answer["answers"][0]["probabilities"].values()) <= 1.001


def test_serving_image_loads_the_ui(tmp_path: Path, environment: dict[str, str]) -> None:
    program = tmp_path / "page.py"
    program.write_text(
        "import pathlib, tumorml.serving.ui as ui\n"
        "from importlib import import_module\n"
        "for path in sorted(pathlib.Path(ui.__file__).parent.glob('*.py')):\n"
        "    if path.stem not in ('app', '__init__'):\n"
        "        import_module(f'tumorml.serving.ui.{path.stem}')\n"
        "from streamlit.testing.v1 import AppTest\n"
        "app = pathlib.Path(ui.__file__).with_name('app.py')\n"
        "page = AppTest.from_file(str(app)).run(timeout=60)\n"
        "assert not page.exception, page.exception\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "tests.docker.as_installed_in", "serving", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr[-4000:]
