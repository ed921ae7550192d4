from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from tumorml.recipes.registry import NETWORKS


def test_registry_imports_nothing_of_the_package() -> None:
    code = (
        "import sys, tumorml.recipes.registry; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('tumorml', 'keras')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "['tumorml', 'tumorml.recipes', 'tumorml.recipes.registry']"


@pytest.mark.parametrize("name", NETWORKS)
def test_module_of_a_network_has_its_functions(name: str) -> None:
    network = NETWORKS[name]
    module = import_module(network.module)
    assert callable(getattr(module, network.builder))
    assert hasattr(module, "load_published") == (network.published_weights is not None)
