"""The step ``evaluate``: challenger and champion, today, on the same test scans, by one code."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import select, update

from tumorml.datasets.groups import assign_groups
from tumorml.datasets.leaks import held_out_now, leaks_of
from tumorml.datasets.pixels import split_pixels
from tumorml.datasets.snapshots import SnapshotEntry, check_no_leak, read_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.metrics import score
from tumorml.evaluation.predictions import Answers, write_predictions
from tumorml.labels import LABELS, Task
from tumorml.models.store import fetch_predictor
from tumorml.results.bulk import copy_rows
from tumorml.results.session import lock, reading, writing
from tumorml.results.tables import Champion, Evaluation, ModelVersion, Run
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


def evaluate_run(settings: Settings, run_id: str) -> str:
    """Score a run's model version, and the champion of its task, on the snapshot's test scans.

    Leaves ``evaluation`` and ``prediction`` rows for both. Test scans that a tie connects to
    training by now are left out. A run on a given split is scored alone, and twice: as given
    (``test``), and on the test scans without a twin or another scan of
    their group in training (``test_without_twins``). A run
    that was evaluated before is left as it is, so that its verdict keeps the numbers it was given
    on.

    Returns:
        The run's id.

    Raises:
        TumorMLError: The run has left no model version, or its snapshot has no test scan.
    """
    with reading(settings) as session:
        run = session.get(Run, run_id)
        if run is None:
            raise TumorMLError(f"There is no run {run_id!r}.")
        if run.state in ("evaluated", "judged"):
            logger.info("run %s was evaluated before; nothing to do", run_id)
            return run_id
        challenger = session.scalar(select(ModelVersion.id).where(ModelVersion.run_id == run_id))
        champion = session.scalar(
            select(Champion.model_version_id).where(
                Champion.task == run.task, Champion.until.is_(None)
            )
        )
    if challenger is None:
        raise TumorMLError(f"Run {run_id} has left no model version yet; train it first.")

    task = Task(run.task)
    labels = LABELS[task]
    entries = read_snapshot(settings, run.snapshot_id)
    if run.given_split:
        champion = None
    else:
        check_no_leak(entries)
        entries = _still_held_apart(settings, entries)
    kinds = leaks_of(settings, entries) if run.given_split else {}
    contenders = [model for model in (challenger, champion) if model is not None]
    results = {}
    for model in contenders:
        predictor = fetch_predictor(settings, model)
        test = split_pixels(settings, entries, "test", labels=labels, size=predictor.input_size)
        if not test.scan_ids:
            raise TumorMLError(
                f"Snapshot {run.snapshot_id} has no test scan; drop more labelled scans."
            )
        probabilities = predictor.predict(test.images)
        metrics = {"test": score(test.labels, probabilities, test.group_ids, labels)}
        if run.given_split:
            clean = np.array([kinds[scan] == "none" for scan in test.scan_ids])
            if clean.any():
                metrics["test_without_twins"] = score(
                    test.labels[clean],
                    probabilities[clean],
                    [g for g, kept in zip(test.group_ids, clean, strict=True) if kept],
                    labels,
                )
        results[model] = (Answers(test.scan_ids, labels, probabilities, test.labels), metrics)
        role = "challenger" if model == challenger else "champion"
        accuracy = float(np.mean(probabilities.argmax(axis=1) == test.labels))
        logger.info("%s %s: accuracy %.4f on %s scans", role, model, accuracy, len(test.scan_ids))

    with writing(settings) as session:
        lock(session, f"run {run_id}")
        done = update(Run).where(Run.id == run_id, Run.state == "trained").values(state="evaluated")
        if session.execute(done.returning(Run.id)).first() is None:
            logger.info("run %s was evaluated by another task meanwhile", run_id)
            return run_id
        moment = datetime.now(UTC)
        for model, (answers, metrics) in results.items():
            write_predictions(
                session,
                answers,
                task=task,
                model_version_id=model,
                run_id=run_id,
                source="evaluation",
                created_at=moment,
            )
            copy_rows(
                session,
                Evaluation,
                (
                    {
                        "run_id": run_id,
                        "model_version_id": model,
                        "split": split,
                        "metric": metric.metric,
                        "slice": metric.slice,
                        "value": metric.value,
                        "low": metric.low,
                        "high": metric.high,
                        "scans": metric.scans,
                    }
                    for split, scored in metrics.items()
                    for metric in scored
                ),
            )
    return run_id


def _still_held_apart(settings: Settings, entries: list[SnapshotEntry]) -> list[SnapshotEntry]:
    """The entries without the test scans that a tie connects to another side since the snapshot."""
    assign_groups(settings)
    tied = {scan for scan, kind in leaks_of(settings, entries).items() if kind != "none"}
    with reading(settings) as session:
        tied |= held_out_now(session, [e.scan_id for e in entries if e.split == "test"])
    if tied:
        logger.warning(
            "%s test scans are held out: they were tied to training meanwhile", len(tied)
        )
    return [e for e in entries if e.split != "test" or e.scan_id not in tied]
