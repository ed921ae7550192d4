"""Ingest of a data set and training of runs, shared by the benchmarks that train recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tumorml.evaluation.evaluate_run import evaluate_run
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings
from tumorml.training.plan_run import plan_run
from tumorml.training.train_run import train_run


def ingest_set(settings: Settings, path: Path) -> None:
    """Ingest a folder, zip or tar of labeled scans."""
    put_drop(settings, path, path.stem)
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)


def train_once(settings: Settings, snapshot: str, **plan: Any) -> str:
    """Plan, train and evaluate a run, without the steps that are done already.

    Args:
        settings: Settings of the benchmark's home.
        snapshot: Id of the snapshot.
        **plan: Further arguments of ``plan_run``.

    Returns:
        The id of the run.
    """
    run_id = plan_run(settings, snapshot, force=True, **plan).run_id
    assert run_id is not None
    train_run(settings, run_id)
    evaluate_run(settings, run_id)
    return run_id
