"""A running server follows the results store: new champions, bad ones and new heatmap claims."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from tests.factories.champions import BuiltModel, make_champion, set_champion
from tests.factories.predictions import one_image
from tests.factories.reports import localization_metrics
from tests.factories.running_api import wait_until
from tumorml.evaluation.metrics import write_metrics
from tumorml.labels import Task
from tumorml.results.session import write_session
from tumorml.settings import Settings


def test_new_champion_serves_within_five_seconds(
    client: TestClient, champion: str, other_model: BuiltModel, settings: Settings
) -> None:
    def serving() -> str:
        return str(client.post("/predict", files=one_image()).json()["model_version"])

    assert serving() == champion
    new = make_champion(settings, other_model)
    wait_until(lambda: serving() == new, seconds=5)
    set_champion(settings, champion, Task.FOUR_CLASS)
    wait_until(lambda: serving() == champion, seconds=5)


def test_champion_that_fails_its_golden_scans_does_not_serve(
    client: TestClient, champion: str, other_model: BuiltModel, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "forged"
    shutil.copytree(other_model.folder, folder)
    description = json.loads((folder / "model.json").read_text())
    (scan,) = description["golden"]
    description["golden"] = {scan: [1.0, 0.0, 0.0, 0.0]}
    (folder / "model.json").write_text(json.dumps(description))
    forged = make_champion(settings, replace(other_model, folder=folder))
    wait_until(lambda: client.get("/health").json()["status"] == "degraded", seconds=10)
    assert client.post("/predict", files=one_image()).json()["model_version"] == champion
    (problem,) = client.get("/health").json()["problems"]
    assert problem.startswith(forged)
    assert f"does not reproduce its golden scans: a probability of the scan {scan}" in problem
    (card,) = client.get("/champion").json()
    assert (card["model_version"], card["answers_here"]) == (forged, False)
    assert card["problem"] in problem


def test_heatmap_claim_changes_once_heatmaps_are_measured(
    client: TestClient, settings: Settings, champion: str
) -> None:
    def claim() -> str:
        response = client.post("/predict?heatmap=map", files=one_image())
        return str(response.json()["heatmap_claim"])

    assert "not measured" in claim()
    with write_session(settings) as session:
        metrics = {"test": localization_metrics((0.8, 0.7, 0.9))}
        write_metrics(session, metrics, run_id=f"r-{champion}", model_version_id=champion)
    wait_until(lambda: "This beats both baselines that ignore the scan" in claim())
