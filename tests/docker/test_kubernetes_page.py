"""The hook on the page about Kubernetes, applied to a pod."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tumorml.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "kubernetes.md"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hook, with a FAKE of the package `kubernetes`, whose models keep what they are given."""
    client, models = ModuleType("kubernetes.client"), ModuleType("kubernetes.client.models")
    models.V1ResourceRequirements = models.V1Toleration = SimpleNamespace
    client.models = models
    for name, module in {
        "kubernetes": ModuleType("kubernetes"),
        "kubernetes.client": client,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    namespace: dict[str, Any] = {}
    exec(re.findall(r"```python\n(def .*?)```", PAGE.read_text(), re.S)[0], namespace)
    return namespace["pod_mutation_hook"]


def pod(task_id: str) -> Any:
    container = SimpleNamespace(name="base", image="here/tumorml-worker:0.1.0", resources=None)
    return SimpleNamespace(
        metadata=SimpleNamespace(annotations={"task_id": task_id}),
        spec=SimpleNamespace(containers=[container], tolerations=None),
    )


def test_the_training_gets_a_card(hook: Any) -> None:
    training = pod("retrain.train")
    hook(training)
    (container,) = training.spec.containers
    assert container.image == "here/tumorml-worker-gpu:0.1.0"
    assert container.resources.limits == {"nvidia.com/gpu": "1"}
    assert training.spec.tolerations[0].key == "nvidia.com/gpu"


def test_nothing_else_gets_one(hook: Any) -> None:
    evaluation = pod("retrain.evaluate")
    hook(evaluation)
    assert evaluation == pod("retrain.evaluate")


def test_the_hook_names_the_task_that_asks_for_the_card_in_the_dag() -> None:
    dag = (PROJECT_ROOT / "dags" / "retrain_champion.py").read_text()
    assert re.search(r'queue="gpu".*\n\s+def train\(', dag) and "def retrain(" in dag
