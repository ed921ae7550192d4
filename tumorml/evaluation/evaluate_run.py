"""The step ``evaluate``: score all contenders on the same test scans."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from itertools import compress

import numpy as np
from sqlalchemy import update

from tumorml.datasets.grouping.assign_groups import assign_groups
from tumorml.datasets.leaks import find_leaks, held_out_scans, scans_seen_by_ancestors
from tumorml.datasets.pixels import split_pixels
from tumorml.datasets.snapshots import SnapshotEntry, read_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.contenders import current_contenders
from tumorml.evaluation.find_slices import find_slices
from tumorml.evaluation.metrics import score, score_slice, write_metrics
from tumorml.evaluation.predictions import write_predictions
from tumorml.labels import Task
from tumorml.models.model_versions import fetch_predictor
from tumorml.policy import load_policy
from tumorml.results.session import read_session, transaction_lock, write_session
from tumorml.results.tables import Run
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


def evaluate_run(settings: Settings, run_id: str) -> str:
    """Score the challenger, the champion and the anchor on the snapshot's test scans.

    All contenders predict anew with the current code; stored numbers are not compared. The function
    writes their ``evaluation`` and ``prediction`` rows. Test scans that were found to be related to
    training scans after the snapshot was taken are left out.

    A run on a given split has no other contender and is scored twice: on the split as given
    (``test``), and on the test scans without a twin and without another scan of their group in
    training (``test_without_twins``).

    If the run was evaluated before, nothing changes, so that its verdict and its numbers agree.

    Returns:
        The run's id.

    Raises:
        TumorMLError: There is no such run, it has no model version, its snapshot has no usable test
            scan, or the policy cannot be read.
    """
    policy = load_policy(settings.promotion_policy)
    with read_session(settings) as session:
        run = session.get(Run, run_id)
        if run is None:
            raise TumorMLError(f"There is no run {run_id!r}.")
        if run.state in ("evaluated", "judged"):
            logger.info("run %s was evaluated before; nothing to do", run_id)
            return run_id
        contenders = current_contenders(session, run)

    entries = read_snapshot(settings, run.snapshot_id)
    kinds = find_leaks(settings, entries) if run.given_split else {}
    if not run.given_split:
        entries = _without_related_scans(settings, run_id, entries)
    with read_session(settings) as session:
        test = sorted(entry.scan_id for entry in entries if entry.split == "test")
        slices = find_slices(session, test, policy.slices.by)
    results = {}
    for model in contenders.models:
        answers, groups = _predict(settings, model, run, entries)
        metrics = {"test": score(answers, groups, resamples=policy.resamples)}
        if run.given_split:
            unrelated = np.array([kinds[scan] is TwinKind.NONE for scan in answers.scan_ids])
            if unrelated.any():
                metrics["test_without_twins"] = score(
                    answers.select(unrelated),
                    list(compress(groups, unrelated)),
                    resamples=policy.resamples,
                )
        for name, chosen in slices.items():
            if chosen.sum() >= policy.slices.min_scans:
                metrics["test"] += score_slice(
                    answers, groups, chosen, name, resamples=policy.resamples
                )
        results[model] = (answers, metrics)
        logger.info(
            "%s %s: accuracy %.4f on %s test scans",
            contenders.role(model),
            model,
            float(np.mean(answers.predicted == answers.truth)),
            len(answers.scan_ids),
        )

    with write_session(settings) as session:
        transaction_lock(session, f"run {run_id}")
        mark_evaluated = (
            update(Run)
            .where(Run.id == run_id, Run.state == "trained")
            .values(state="evaluated", champion_id=contenders.champion, anchor_id=contenders.anchor)
        )
        if session.execute(mark_evaluated.returning(Run.id)).first() is None:
            logger.info("run %s was evaluated by another task in the meantime", run_id)
            return run_id
        now = datetime.now(UTC)
        for model, (answers, metrics) in results.items():
            write_predictions(
                session,
                answers,
                task=Task(run.task),
                model_version_id=model,
                run_id=run_id,
                source="evaluation",
                created_at=now,
            )
            write_metrics(session, metrics, run_id=run_id, model_version_id=model)
    return run_id


def _predict(
    settings: Settings, model: str, run: Run, entries: list[SnapshotEntry]
) -> tuple[Answers, list[str]]:
    """Return a model version's answers about the test scans, and the scans' group ids."""
    predictor = fetch_predictor(settings, model)
    test = split_pixels(
        settings, entries, "test", labels=predictor.labels, size=predictor.input_size
    )
    if not test.scan_ids:
        raise TumorMLError(
            f"Snapshot {run.snapshot_id} has no usable test scan; drop more labeled scans."
        )
    probabilities = predictor.predict(test.images)
    answers = Answers(
        test.scan_ids,
        predictor.labels,
        probabilities,
        predicted=predictor.decide(probabilities),
        truth=test.labels,
    )
    return answers, test.group_ids


def _without_related_scans(
    settings: Settings, run_id: str, entries: list[SnapshotEntry]
) -> list[SnapshotEntry]:
    """Return the entries without test scans that are related to training scans by now."""
    assign_groups(settings)
    with read_session(settings) as session:
        ancestor_scans = scans_seen_by_ancestors(session, run_id)
    related = {
        scan
        for scan, kind in find_leaks(settings, entries, ancestor_scans).items()
        if kind is not TwinKind.NONE
    }
    with read_session(settings) as session:
        related |= held_out_scans(session, [e.scan_id for e in entries if e.split == "test"])
    if related:
        logger.warning(
            "%s test scans are held out: since the snapshot, they were found to be related to "
            "training scans",
            len(related),
        )
    return [e for e in entries if e.split != "test" or e.scan_id not in related]
