"""From an evaluated run's rows to the contest that the rules judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.datasets.leaks import leaks_of, learnt_before
from tumorml.datasets.snapshots import SnapshotEntry, read_snapshot
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.contenders import Contenders
from tumorml.evaluation.slices import slices_of
from tumorml.labels import LABELS, Task
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest, GoldenCheck
from tumorml.results.session import read_session
from tumorml.results.tables import ModelVersion, Prediction, Run
from tumorml.settings import Settings


def assemble_contest(
    settings: Settings, run_id: str, contenders: Contenders, policy: Policy, golden: GoldenCheck
) -> Contest:
    """The contest of an evaluated run: all answers, groups, slices and leaks."""
    with read_session(settings) as session:
        run = session.get_one(Run, run_id)
        labels = LABELS[Task(run.task)]
        answers = {model: _answers(session, run_id, model, labels) for model in contenders.models}
        given_split = session.get_one(ModelVersion, contenders.challenger).given_split
        scans = answers[contenders.challenger].scan_ids
        slices = slices_of(session, scans, policy.slices.by)
        before = learnt_before(session, run_id)
    for model, answered in answers.items():
        if list(answered.scan_ids) != list(scans):
            raise RuntimeError(f"{model} answered other scans than the challenger in run {run_id}")
    entries = read_snapshot(settings, run.snapshot_id)
    groups = {entry.scan_id: entry.group_id for entry in entries if entry.split == "test"}
    return Contest(
        groups=[groups[scan] for scan in scans],
        challenger=answers[contenders.challenger],
        champion=answers.get(contenders.champion or ""),
        anchor=answers.get(contenders.anchor or ""),
        slices=slices,
        leaking=_leaking(settings, entries, before, scans),
        golden=golden,
        given_split=given_split,
    )


def _answers(session: Session, run_id: str, model: str, labels: Sequence[str]) -> Answers:
    rows = session.execute(
        select(
            Prediction.scan_id,
            Prediction.label,
            Prediction.true_label,
            Prediction.probabilities,
        )
        .where(
            Prediction.run_id == run_id,
            Prediction.model_version_id == model,
            Prediction.source == "evaluation",
        )
        .order_by(Prediction.scan_id)
    ).all()

    def indices(names: Sequence[Any]) -> NDArray[np.int64]:
        return np.array([labels.index(str(name)) for name in names], dtype=np.int64)

    return Answers(
        [row.scan_id for row in rows],
        labels,
        np.array([[row.probabilities[name] for name in labels] for row in rows], np.float32),
        predicted=indices([row.label for row in rows]),
        truth=indices([row.true_label for row in rows]),
    )


def _leaking(
    settings: Settings, entries: Sequence[SnapshotEntry], before: set[str], judged: Sequence[str]
) -> int:
    """Test scans that training touches: by the snapshot's own list, or by what is known today."""
    learnt = {entry.group_id for entry in entries if entry.split != "test"}
    seen = {entry.scan_id for entry in entries if entry.split != "test"} | before
    listed = {
        entry.scan_id
        for entry in entries
        if entry.split == "test" and (entry.group_id in learnt or entry.scan_id in seen)
    }
    kinds = leaks_of(settings, entries, before)
    return len(listed | {scan for scan in judged if kinds[scan] != "none"})
