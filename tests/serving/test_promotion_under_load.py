"""A promotion and a rollback under load: no request fails or mixes two models."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import httpx
import numpy as np

from tests.factories.champions import (
    SIDE,
    BuiltModel,
    make_champion,
    noise_scans,
    set_champion,
)
from tests.factories.predictions import prediction_history
from tests.factories.running_api import running_api, wait_until
from tumorml.datasets.resize import fit_to_square
from tumorml.labels import LABELS, Task
from tumorml.scans.images.decode import encode_png
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS


def test_promotion_and_rollback_under_load_fail_no_request(
    settings: Settings, champion: str, model: BuiltModel, other_model: BuiltModel
) -> None:
    scans = noise_scans(6, seed=4)
    squares = np.stack([fit_to_square(pixels, SIDE) for pixels in scans])
    responses: list[tuple[int, int, dict[str, Any]]] = []
    done = threading.Event()

    def post_until_done(url: str, number: int) -> None:
        files = {"images": ("a.png", encode_png(scans[number]))}
        with httpx.Client(base_url=url, timeout=30) as client:
            while not done.is_set():
                response = client.post("/predict", files=files)
                responses.append((number, response.status_code, response.json()))

    def is_serving(model_version: str) -> bool:
        return bool(responses) and responses[-1][2].get("model_version") == model_version

    with running_api(settings) as served:
        callers = [
            threading.Thread(target=post_until_done, args=(served.api_url, n))
            for n in range(len(scans))
        ]
        for caller in callers:
            caller.start()
        try:
            wait_until(lambda: is_serving(champion))
            new = make_champion(settings, other_model)
            wait_until(lambda: is_serving(new), seconds=5)
            set_champion(settings, champion, TASK)
            wait_until(lambda: is_serving(champion), seconds=5)
        finally:
            done.set()
            for caller in callers:
                caller.join()
    assert {status for _, status, _ in responses} == {200}
    expected = {
        champion: model.predictor.predict(squares),
        new: other_model.predictor.predict(squares),
    }
    assert np.abs(expected[champion] - expected[new]).max() > 0.01
    for number, _, content in responses:
        (answer,) = content["answers"]
        np.testing.assert_allclose(
            [answer["probabilities"][label] for label in LABELS[TASK]],
            expected[content["model_version"]][number],
            atol=1e-4,
        )
    sent = Counter(
        (content["model_version"], content["answers"][0]["scan"]) for _, _, content in responses
    )
    recorded = Counter((row["model_version"], row["scan"]) for row in prediction_history(settings))
    assert recorded == sent
