"""Train a run again from its record and compare the numbers."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqlalchemy import select

from tumorml.datasets.pixel_cache import cached_pixels
from tumorml.datasets.snapshots import read_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.measures import measure
from tumorml.evaluation.predictions import read_answers
from tumorml.labels import LABELS, Task
from tumorml.models.model_versions import fetch_model
from tumorml.results.session import read_session
from tumorml.results.tables import Evaluation, ModelVersion, Run
from tumorml.settings import Settings
from tumorml.training.code_version import code_version
from tumorml.training.plan_run import check_weights, recipe_of
from tumorml.training.train_model import train_model

logger = logging.getLogger(__name__)

COMPARED = ("accuracy", "f1_macro", "log_loss", "ece")
TOLERANCE = 1e-6
"""Largest absolute difference of two values of a metric that count as equal."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The comparison of a run with its repetition.

    Attributes:
        run_id: The run that was trained again.
        metrics: Recorded and new value by metric.
        scans: Number of test scans.
        same_label: Number of test scans that got the same label both times.
        differs: Descriptions of the recorded conditions that have changed, for instance the version
            of a library.
    """

    run_id: str
    metrics: dict[str, tuple[float, float]]
    scans: int
    same_label: int
    differs: list[str]

    @property
    def agrees(self) -> bool:
        """True if every metric and every label equals the recorded one."""
        changes = [abs(new - old) for old, new in self.metrics.values()]
        return bool(changes) and max(changes) <= TOLERANCE and self.same_label == self.scans


def reproduce_run(settings: Settings, run_id: str) -> Reproduction:
    """Train a run again with its recipe, snapshot and seed, and compare the test answers.

    Nothing is written to the results store or the object store.

    Raises:
        TumorMLError: There is no such run, it was not evaluated, its initial weights have changed,
            or training fails.
    """
    with read_session(settings) as session:
        run = session.get(Run, run_id)
        if run is None:
            raise TumorMLError(f"There is no run {run_id!r}.")
        model = session.scalar(select(ModelVersion).where(ModelVersion.run_id == run_id))
        if model is None:
            raise TumorMLError(f"Run {run_id} is {run.state} and has no model version.")
        recorded_metrics = dict(
            session.execute(
                select(Evaluation.metric, Evaluation.value).where(
                    Evaluation.run_id == run_id,
                    Evaluation.model_version_id == model.id,
                    Evaluation.split == "test",
                    Evaluation.slice == "all",
                )
            ).all()
        )
        recorded_answers = read_answers(session, run_id, model.id, LABELS[Task(run.task)])
    if not recorded_answers.scan_ids:
        raise TumorMLError(f"Run {run_id} is {run.state} and has no evaluation to compare with.")
    from tumorml.models.artifact import read_description

    check_weights(settings, run)
    differs = _differences(run)
    for difference in differs:
        logger.warning("differs from the record: %s", difference)

    with tempfile.TemporaryDirectory() as folder:
        fetch_model(settings, model.id, Path(folder))
        min_sensitivity = read_description(Path(folder)).details.get("min_sensitivity", 0.0)
    task = Task(run.task)
    with tempfile.TemporaryDirectory() as folder:
        predictor = train_model(
            settings,
            recipe_of(run),
            task,
            read_snapshot(settings, run.snapshot_id),
            seed=run.seed,
            min_sensitivity=min_sensitivity,
            checkpoints=Path(folder),
            on_epoch=lambda record: logger.info(
                "epoch %s of %s, loss %.6f", record.epoch, record.epochs, record.loss
            ),
            warm_start_id=run.warm_start_id,
        ).predictor
    scans = recorded_answers.scan_ids
    probabilities = predictor.predict(cached_pixels(settings, scans, predictor.input_size))
    new_answers = replace(
        recorded_answers,
        probabilities=probabilities,
        predicted=predictor.decide(probabilities),
    )
    new_metrics = measure(new_answers, COMPARED)
    return Reproduction(
        run_id,
        {
            name: (old, float(new_metrics[name]))
            for name in COMPARED
            if (old := recorded_metrics.get(name)) is not None
        },
        len(scans),
        int((new_answers.predicted == recorded_answers.predicted).sum()),
        differs,
    )


def _differences(run: Run) -> list[str]:
    """Describe the libraries and the code version that are not as recorded."""
    differs = [
        f"{name} {recorded}, now {installed}"
        for name, recorded in (run.libraries or {}).items()
        if (installed := _installed_version(name)) != recorded
    ]
    if run.code_version != code_version():
        differs.append(f"code {run.code_version}, now {code_version()}")
    return differs


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
