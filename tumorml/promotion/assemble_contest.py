"""Assemble the contest that the rules judge, from the rows of an evaluated run."""

from __future__ import annotations

from collections.abc import Sequence

from tumorml.datasets.leaks import find_leaks, scans_seen_by_ancestors
from tumorml.datasets.snapshots import SnapshotEntry, read_snapshot
from tumorml.evaluation.contenders import Contenders
from tumorml.evaluation.find_slices import find_slices
from tumorml.evaluation.predictions import read_answers
from tumorml.labels import LABELS, Task
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest, GoldenCheck
from tumorml.results.session import read_session
from tumorml.results.tables import ModelVersion, Run
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings


def assemble_contest(
    settings: Settings, run_id: str, contenders: Contenders, policy: Policy, golden: GoldenCheck
) -> Contest:
    """Assemble the contest of an evaluated run: all answers, groups, slices and leaks.

    Raises:
        RuntimeError: A contender predicted other scans than the challenger.
    """
    with read_session(settings) as session:
        run = session.get_one(Run, run_id)
        labels = LABELS[Task(run.task)]
        answers = {
            model: read_answers(session, run_id, model, labels) for model in contenders.models
        }
        given_split = session.get_one(ModelVersion, contenders.challenger).given_split
        scans = answers[contenders.challenger].scan_ids
        slices = find_slices(session, scans, policy.slices.by)
        ancestor_scans = scans_seen_by_ancestors(session, run_id)
    for model, model_answers in answers.items():
        if list(model_answers.scan_ids) != list(scans):
            raise RuntimeError(f"{model} answered other scans than the challenger in run {run_id}")
    entries = read_snapshot(settings, run.snapshot_id)
    groups = {entry.scan_id: entry.group_id for entry in entries if entry.split == "test"}
    return Contest(
        groups=[groups[scan] for scan in scans],
        challenger=answers[contenders.challenger],
        champion=answers.get(contenders.champion or ""),
        anchor=answers.get(contenders.anchor or ""),
        slices=slices,
        leaking=_count_leaks(settings, entries, ancestor_scans, scans),
        golden=golden,
        given_split=given_split,
    )


def _count_leaks(
    settings: Settings,
    entries: Sequence[SnapshotEntry],
    ancestor_scans: set[str],
    test_scans: Sequence[str],
) -> int:
    """Count leaking test scans: by the snapshot's own list, and by the twins and groups known now.

    Args:
        settings: Settings of the service.
        entries: Entries of the run's snapshot.
        ancestor_scans: Scans on which the models before a warm start were trained.
        test_scans: Scans that the contenders predicted.
    """
    training = [entry for entry in entries if entry.split != "test"]
    training_groups = {entry.group_id for entry in training}
    seen_scans = {entry.scan_id for entry in training} | ancestor_scans
    leaking_in_snapshot = {
        entry.scan_id
        for entry in entries
        if entry.split == "test"
        and (entry.group_id in training_groups or entry.scan_id in seen_scans)
    }
    kinds = find_leaks(settings, entries, ancestor_scans)
    leaking_now = {scan for scan in test_scans if kinds[scan] is not TwinKind.NONE}
    return len(leaking_in_snapshot | leaking_now)
