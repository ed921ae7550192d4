"""The facts are imported by the API, the UI and the Airflow pages, and so stay light."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import importlib, json, pkgutil, sys
from tumorml.reports import facts
for module in pkgutil.iter_modules(facts.__path__):
    importlib.import_module(f"tumorml.reports.facts.{module.name}")
heavy = ["keras", "matplotlib", "pandas", "pptx", "sklearn", "tensorflow", "typst"]
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def test_facts_import_no_heavy_library() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []
