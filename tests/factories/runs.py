"""Evaluated runs whose answers are made up, and whose model is real."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.factories.rows import model_row, run_row
from tumorml.datasets.snapshots import read_snapshot, take_snapshot
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.predictions import write_predictions
from tumorml.labels import LABELS, Task
from tumorml.models.files import sha256_of
from tumorml.objects import object_store
from tumorml.results.session import write_session
from tumorml.results.tables import Evaluation
from tumorml.scans.inbox.names import scan_key
from tumorml.settings import PROJECT_ROOT, Settings

TASK = Task.FOUR_CLASS
NAMES = LABELS[TASK]
GOLDEN_SCAN = "90" * 32


def put_tiny_model(settings: Settings, folder: Path, key: str) -> None:
    """Put the model and its golden scan where the service keeps them."""
    store = object_store(settings)
    for name in ("model.keras", "model.json"):
        store.write_file(f"{key}/{name}", folder / name)
    store.write_file(scan_key(GOLDEN_SCAN), folder / "golden.png")


def policy_with(tmp_path: Path, **numbers: object) -> Path:
    """The packaged policy with some of its numbers changed, as a file."""
    text = (PROJECT_ROOT / "promotion.toml").read_text()
    for name, value in numbers.items():
        text, count = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
        assert count == 1, name
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return path


def forgiving(tmp_path: Path, **numbers: object) -> Path:
    """A policy under which some hundred scans are enough."""
    wide = dict.fromkeys(
        (
            "recall_margin_points",
            "tumor_recall_margin_points",
            "missed_tumor_margin_points",
            "calibration_margin_points",
            "anchor_margin_points",
        ),
        60,
    )
    return policy_with(
        tmp_path, **{"max_calibration_error": 1.0, "resamples": 200, **wide, **numbers}
    )


def evaluated_run(
    settings: Settings,
    name: str,
    errors: Mapping[str, float],
    *,
    model_folder: Path,
    given_split: bool = False,
    input_size: int = 32,
) -> str:
    """A run of model ``m-<name>``, evaluated: each model answers its share of test scans wrong.

    Args:
        settings: Where.
        name: Of the run.
        errors: By model version, the share of wrong answers: the run's own, the champion's, and the
            anchor's where that is another one.
        model_folder: Of the tiny model.
        given_split: The run is a benchmark.
        input_size: What the model's row says.
    """
    snapshot = take_snapshot(settings, TASK)
    test = [entry for entry in read_snapshot(settings, snapshot) if entry.split == "test"]
    truth = np.array([NAMES.index(entry.label) for entry in test])
    draw = np.random.default_rng(3).random(len(test))
    run_id, model = f"r-{name}", f"m-{name}"
    _, champion, anchor, *_ = [*errors, None, None]
    put_tiny_model(settings, model_folder, f"models/{model}")
    with write_session(settings) as session:
        session.add(
            run_row(
                run_id,
                TASK,
                snapshot,
                state="evaluated",
                given_split=given_split,
                champion_id=champion,
                anchor_id=anchor,
            )
        )
        session.flush()
        session.add(
            model_row(
                model,
                run_id,
                TASK,
                labels=list(NAMES),
                input_size=input_size,
                object_key=f"models/{model}",
                sha256=sha256_of(model_folder / "model.keras"),
                description_sha256=sha256_of(model_folder / "model.json"),
                given_split=given_split,
            )
        )
        session.flush()
        for contender, share in errors.items():
            predicted = np.where(draw < share, (truth + 1) % 4, truth)
            write_predictions(
                session,
                made_answers([entry.scan_id for entry in test], truth, predicted),
                task=TASK,
                model_version_id=contender,
                run_id=run_id,
                source="evaluation",
                created_at=datetime.now(UTC),
            )
            session.add(
                Evaluation(
                    run_id=run_id,
                    model_version_id=contender,
                    split="test",
                    metric="accuracy",
                    slice="all",
                    value=float(np.mean(predicted == truth)),
                    scans=len(test),
                )
            )
    return run_id


def made_answers(
    scans: list[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> Answers:
    """Answers that are 94 % sure of themselves."""
    probabilities = np.full((len(scans), len(NAMES)), 0.02, dtype=np.float32)
    probabilities[np.arange(len(scans)), predicted] = 0.94
    return Answers(scans, NAMES, probabilities, predicted=predicted, truth=truth)


def damage(settings: Settings, model: str, name: str = "model.keras") -> None:
    """Change one byte of a stored model's file."""
    path = object_store(settings).local_path(f"models/{model}/{name}")
    assert path is not None
    shutil.copy(path, path.with_suffix(".before"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
