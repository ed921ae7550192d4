"""All facts about a run that its report, slides and model card state."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.errors import TumorMLError
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.predictions import read_answers
from tumorml.explain.shown_answers import most_confident_errors
from tumorml.labels import LABELS, NO_TUMOR, Task
from tumorml.objects import ObjectStore
from tumorml.reports.facts.answers import (
    SHOWN_ERRORS,
    ShownAnswer,
    confusion_counts,
    read_shown_answers,
    right_samples,
)
from tumorml.reports.facts.numbers import Numbers
from tumorml.reports.facts.run_data import (
    RunData,
    SnapshotBatch,
    count_seen_test_scans,
    read_batches,
    read_manifest_fields,
    read_run_data,
    read_sides,
    read_sites,
)
from tumorml.results.tables import (
    Epoch,
    Evaluation,
    ModelVersion,
    Run,
    Verdict,
    VerdictRule,
)

LOCALIZATION_METRICS = ("pointing_game", "energy_inside", "iou")


@dataclass(frozen=True, slots=True)
class Contender:
    """A model version that was compared in the verdict.

    Attributes:
        role: ``challenger``, ``champion`` or ``anchor``.
        version: Its row.
        run: The run that trained it.
        training_scans: Number of scans on its training side.
        seen_test_scans: Number of this run's test scans that, by scan or group, were on its own
            training or validation side.
        numbers: Its ``evaluation`` rows on this run's test scans.
        answers: Its answers about this run's test scans, without scan ids.
        confusion: int64 [true, predicted], counts of test scans; all 0 if it has no answers.
    """

    role: str
    version: ModelVersion
    run: Run
    training_scans: int
    seen_test_scans: int
    numbers: Numbers
    answers: Answers
    confusion: NDArray[np.int64]

    @property
    def model(self) -> str:
        """The id of the model version."""
        return self.version.id

    @property
    def missed_tumors(self) -> tuple[int, int]:
        """Number of test scans with a tumor predicted ``no_tumor``, and of all with a tumor."""
        labels = LABELS[Task(self.run.task)]
        tumor_rows = [index for index, label in enumerate(labels) if label != NO_TUMOR]
        tumors = self.confusion[tumor_rows]
        return int(tumors[:, labels.index(NO_TUMOR)].sum()), int(tumors.sum())

    def slices_with_prefix(self, prefix: str) -> list[str]:
        """Return the names of the slices that start with a prefix, sorted."""
        return sorted({name for _, name in self.numbers if name.startswith(prefix)})

    @property
    def slices(self) -> list[str]:
        """The names of the slices that the policy requests, sorted."""
        built_in = ("all", "label=", "true=", "confidence=")
        return sorted({name for _, name in self.numbers if not name.startswith(built_in)})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A judged run.

    Attributes:
        model: The challenger, which this run trained.
        contenders: The challenger, then the champion and the anchor if there are any.
        without_twins: For a benchmark, the challenger's numbers on test scans without a twin in
            training.
        batches: The newest first.
        manifest_fields: Number of the snapshot's scans that have each manifest field.
        sites: Sites that manifests name for scans of the snapshot, sorted.
        errors: Wrong answers of the challenger: missed tumors first, then by probability.
        right: Some right answers of each label.
    """

    run: Run
    verdict: Verdict
    model: ModelVersion
    rules: Sequence[VerdictRule]
    epochs: Sequence[Epoch]
    contenders: Sequence[Contender]
    without_twins: Numbers
    data: RunData
    batches: Sequence[SnapshotBatch]
    manifest_fields: Mapping[str, int]
    sites: Sequence[str]
    errors: Sequence[ShownAnswer]
    right: Sequence[ShownAnswer]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the task, in the order of their class indices."""
        return self.data.labels

    @property
    def challenger(self) -> Contender:
        """The model version that this run trained."""
        return self.contenders[0]

    @property
    def champion(self) -> Contender | None:
        """The champion at the time of the verdict."""
        return next((one for one in self.contenders if one.role == "champion"), None)

    @property
    def scans(self) -> int:
        """Number of scans on all sides of the snapshot."""
        return sum(side.scans for side in self.data.sides.values())

    @property
    def recipe(self) -> dict[str, Any]:
        """The parsed recipe."""
        return tomllib.loads(self.run.recipe_text)

    @property
    def policy(self) -> dict[str, Any]:
        """The parsed policy."""
        return tomllib.loads(self.verdict.policy_text)

    @property
    def keeps_last_epoch(self) -> bool:
        """The recipe keeps the weights of the last epoch, not of the lowest validation loss."""
        return self.recipe.get("kept_epoch") == "last"

    @property
    def kept_epoch(self) -> Epoch | None:
        """The epoch whose weights were kept; None if no epoch was recorded."""
        if self.keeps_last_epoch and self.epochs:
            return self.epochs[-1]
        return min(
            self.epochs, key=lambda epoch: (epoch.validation_loss, epoch.epoch), default=None
        )

    @property
    def support(self) -> dict[str, int]:
        """Number of test scans that the challenger answered, by true label."""
        totals = self.challenger.confusion.sum(axis=1).tolist()
        return dict(zip(self.labels, totals, strict=True))

    @property
    def wrong(self) -> int:
        """Number of wrong answers of the challenger."""
        confusion = self.challenger.confusion
        return int(confusion.sum() - np.trace(confusion))


def gather_run_facts(session: Session, store: ObjectStore, run_id: str) -> RunFacts:
    """Read the facts of a judged run.

    Raises:
        TumorMLError: The run has not been judged.
    """
    run = session.get(Run, run_id)
    verdict = session.scalar(select(Verdict).where(Verdict.run_id == run_id))
    if run is None or verdict is None:
        raise TumorMLError(f"Run {run_id} has no verdict yet; judge it first.")
    roles = {
        "challenger": verdict.challenger_id,
        "champion": verdict.champion_id,
        "anchor": verdict.anchor_id,
    }
    numbers = _read_numbers(session, run_id)
    labels = LABELS[Task(run.task)]
    rules = select(VerdictRule).where(VerdictRule.verdict_id == verdict.id)
    epochs = select(Epoch).where(Epoch.run_id == run_id)
    errors = most_confident_errors(run, verdict.challenger_id, SHOWN_ERRORS)
    right = right_samples(run_id, verdict.challenger_id, len(labels))
    return RunFacts(
        run=run,
        verdict=verdict,
        model=session.get_one(ModelVersion, verdict.challenger_id),
        rules=session.scalars(rules.order_by(VerdictRule.position)).all(),
        epochs=session.scalars(epochs.order_by(Epoch.epoch)).all(),
        contenders=[
            _read_contender(session, run, role, model, numbers.get((model, "test"), {}))
            for role, model in roles.items()
            if model is not None
        ],
        without_twins=numbers.get((verdict.challenger_id, "test_without_twins"), {}),
        data=read_run_data(session, run),
        batches=read_batches(session, run.snapshot_id),
        manifest_fields=read_manifest_fields(session, run.snapshot_id),
        sites=read_sites(session, run.snapshot_id),
        errors=sorted(
            read_shown_answers(session, store, errors),
            key=lambda answer: (not answer.is_missed_tumor, -answer.probability),
        ),
        right=read_shown_answers(session, store, right),
    )


def _read_numbers(
    session: Session, run_id: str
) -> dict[tuple[str, str], dict[tuple[str, str], Evaluation]]:
    """Return the rows of a run by model version and split, then by metric and slice."""
    numbers: dict[tuple[str, str], dict[tuple[str, str], Evaluation]] = {}
    for row in session.scalars(select(Evaluation).where(Evaluation.run_id == run_id)):
        numbers.setdefault((row.model_version_id, row.split), {})[row.metric, row.slice] = row
    return numbers


def _read_contender(
    session: Session, run: Run, role: str, model: str, numbers: Numbers
) -> Contender:
    version = session.get_one(ModelVersion, model)
    training_run = session.get_one(Run, version.run_id)
    answers = read_answers(session, run.id, model, LABELS[Task(run.task)])
    return Contender(
        role=role,
        version=version,
        run=training_run,
        training_scans=read_sides(session, training_run.snapshot_id)["train"].scans,
        seen_test_scans=count_seen_test_scans(session, run.snapshot_id, training_run.snapshot_id),
        numbers=numbers,
        answers=answers,
        confusion=confusion_counts(answers),
    )
