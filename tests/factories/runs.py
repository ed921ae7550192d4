"""Evaluated runs with made-up answers and a real, tiny model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from tests.factories.rows import model_row, run_row
from tumorml.datasets.snapshots import read_snapshot, take_snapshot
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.predictions import write_predictions
from tumorml.labels import LABELS, Task
from tumorml.models.files import sha256_of
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.promotion.judge_run import judge_run
from tumorml.promotion.promote import promote
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Evaluation, Verdict, VerdictRule
from tumorml.settings import PROJECT_ROOT, Settings

TASK = Task.FOUR_CLASS
NAMES = LABELS[TASK]
GOLDEN_SCAN = "90" * 32


def put_tiny_model(settings: Settings, folder: Path, key: str) -> None:
    """Put the model and its golden scan under their object keys."""
    store = object_store(settings)
    for name in ("model.keras", "model.json"):
        store.write_file(f"{key}/{name}", folder / name)
    store.write_file(scan_key(GOLDEN_SCAN), folder / "golden.png")


def changed_policy(tmp_path: Path, **numbers: object) -> Path:
    """Write the packaged policy with some numbers changed, each named as its TOML key."""
    text = (PROJECT_ROOT / "promotion.toml").read_text()
    for name, value in numbers.items():
        text, count = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
        assert count == 1, name
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return path


def lenient_policy(tmp_path: Path, **numbers: object) -> Path:
    """Write a policy with margins so wide that some hundred test scans are enough."""
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
    return changed_policy(
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
    """Add an evaluated run ``r-<name>`` of model ``m-<name>`` and return its id.

    Args:
        settings: Settings with the results store and the object store.
        name: Name of the run.
        errors: Share of wrong answers by model version: the run's own, then the champion's, then
            the anchor's where that is another model version.
        model_folder: Folder of the tiny model.
        given_split: True for a benchmark run.
        input_size: Input size in the model version's row, in pixels.
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
                confident_answers([entry.scan_id for entry in test], truth, predicted),
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


@dataclass(frozen=True)
class EvaluatedRuns:
    """Adds evaluated runs of models ``m-<name>`` to a store.

    Attributes:
        store: Settings with the results store and the object store.
        model_folder: Folder of the tiny model.
    """

    store: Settings
    model_folder: Path

    def __call__(
        self,
        name: str,
        error: float,
        against: Mapping[str, float] | None = None,
        *,
        given_split: bool = False,
        input_size: int = 32,
    ) -> str:
        """Add a run and return its id.

        Args:
            name: Name of the run.
            error: The model's share of wrong answers.
            against: Shares of wrong answers of the champion and the anchor, by model version.
            given_split: True for a benchmark run.
            input_size: Input size in the model version's row, in pixels.
        """
        return evaluated_run(
            self.store,
            name,
            {f"m-{name}": error, **(against or {})},
            model_folder=self.model_folder,
            given_split=given_split,
            input_size=input_size,
        )


def judge_and_promote(settings: Settings, run_id: str) -> str:
    """Judge a run, do what its verdict says, and return the outcome."""
    return promote(settings, judge_run(settings, run_id), who="test")


def outcome_and_reason(settings: Settings, verdict_id: str) -> tuple[str, str]:
    """Return the stored outcome and reason of a verdict."""
    with read_session(settings) as session:
        verdict = session.get_one(Verdict, verdict_id)
        return verdict.outcome, verdict.reason


def stored_results(settings: Settings, verdict_id: str) -> dict[str, str]:
    """Return ``result: explanation`` of each rule; of a rule with several slices, the last row."""
    with read_session(settings) as session:
        rows = session.scalars(select(VerdictRule).where(VerdictRule.verdict_id == verdict_id))
        return {row.rule: f"{row.result}: {row.explanation}" for row in rows}


def confident_answers(
    scans: list[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> Answers:
    """Answers with a probability of 0.94 for the predicted label."""
    probabilities = np.full((len(scans), len(NAMES)), 0.02, dtype=np.float32)
    probabilities[np.arange(len(scans)), predicted] = 0.94
    return Answers(scans, NAMES, probabilities, predicted=predicted, truth=truth)


def damage_model(settings: Settings, model: str, name: str = "model.keras") -> None:
    """Change one byte of a stored model's file, keeping a copy beside it."""
    path = object_store(settings).local_path(f"models/{model}/{name}")
    assert path is not None
    shutil.copy(path, path.with_suffix(".before"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
