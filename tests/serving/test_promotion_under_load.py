"""A promotion while callers ask: none is sent away; every answer and row is of its own model."""

from __future__ import annotations

import threading
import time
from collections import Counter

import httpx
import numpy as np

from tests.factories.champions import SIDE, Made, crown, enthrone, pictures
from tests.factories.running_api import running_api
from tests.serving.test_api import history
from tumorml.datasets.resize import fit_to_square
from tumorml.labels import LABELS, Task
from tumorml.scans.images.decode import encode_png
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS


def test_a_promotion_and_a_rollback_fail_no_request(
    settings: Settings, champion: str, made: Made, made_later: Made
) -> None:
    scans = pictures(6, seed=4)
    squares = np.stack([fit_to_square(pixels, SIDE) for pixels in scans])
    told: list[tuple[int, int, dict[str, object]]] = []
    done = threading.Event()

    def ask(address: str, number: int) -> None:
        file = {"images": ("a.png", encode_png(scans[number]))}
        with httpx.Client(base_url=address, timeout=30) as client:
            while not done.is_set():
                response = client.post("/predict", files=file)
                told.append((number, response.status_code, response.json()))

    def wait_for(model: str) -> None:
        until = time.monotonic() + 5
        while told[-1][2].get("model_version") != model:
            assert time.monotonic() < until, f"{model} did not answer within 5 s"
            time.sleep(0.02)

    with running_api(settings) as found:
        address = f"http://127.0.0.1:{found.api_port}"
        callers = [threading.Thread(target=ask, args=(address, n)) for n in range(len(scans))]
        for caller in callers:
            caller.start()
        try:
            while not told:
                time.sleep(0.02)
            wait_for(champion)
            later = crown(settings, made_later)
            wait_for(later)
            enthrone(settings, champion, TASK)
            wait_for(champion)
        finally:
            done.set()
            for caller in callers:
                caller.join()
    assert {status for _, status, _ in told} == {200}
    expected = {
        champion: made.predictor.predict(squares),
        later: made_later.predictor.predict(squares),
    }
    assert np.abs(expected[champion] - expected[later]).max() > 0.01
    for number, _, answer in told:
        (one,) = answer["answers"]  # type: ignore[misc]
        np.testing.assert_allclose(
            [one["probabilities"][label] for label in LABELS[TASK]],
            expected[str(answer["model_version"])][number],
            atol=1e-4,
        )
    answered = Counter((one["model_version"], one["answers"][0]["scan"]) for _, _, one in told)  # type: ignore[index]
    assert Counter((row["model_version"], row["scan"]) for row in history(settings)) == answered
