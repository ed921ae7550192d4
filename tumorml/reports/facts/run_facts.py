"""Everything that is told about a run, read from the results store once."""

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
from tumorml.explain.chosen import surest_errors
from tumorml.labels import LABELS, NO_TUMOR, Task
from tumorml.objects import ObjectStore
from tumorml.reports.facts.numbers import Numbers
from tumorml.reports.facts.run_data import (
    BatchOfData,
    DataOfRun,
    read_batches,
    read_data,
    read_learnt,
    read_recorded,
    read_sides,
    read_sites,
)
from tumorml.reports.facts.shown_answers import SHOWN_ERRORS, ShownAnswer, read_shown, right_samples
from tumorml.reports.run.curves import (
    LabelCurves,
    confusion_counts,
    label_curves,
    read_answers,
)
from tumorml.results.tables import (
    Epoch,
    Evaluation,
    ModelVersion,
    Run,
    Verdict,
    VerdictRule,
)

LOCALISATION = ("pointing_game", "energy_inside", "iou")


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those who were judged.

    Attributes:
        role: ``challenger``, ``champion`` or ``anchor``.
        model: Its model version.
        version: The row of that, and
        run: of the run that left it.
        trained: How many scans it was trained on.
        learnt: How many of today's test scans, or of their groups, were on its own training or
            validation side.
        numbers: On the test scans.
        confusion: int64 [true, predicted], counts of test scans; all 0 where it answered nothing.
        curves: Of each label that can be told from others.
    """

    role: str
    version: ModelVersion
    run: Run
    trained: int
    learnt: int
    numbers: Numbers
    confusion: NDArray[np.int64]
    curves: tuple[LabelCurves, ...]

    @property
    def model(self) -> str:
        """The id of its model version."""
        return self.version.id

    @property
    def missed_tumors(self) -> tuple[int, int]:
        """Test scans of a tumour that it called ``no_tumor``, and how many tumours there are."""
        labels = LABELS[Task(self.run.task)]
        rows = [index for index, label in enumerate(labels) if label != NO_TUMOR]
        of_tumors = self.confusion[rows]
        return int(of_tumors[:, labels.index(NO_TUMOR)].sum()), int(of_tumors.sum())

    def parts(self, prefix: str) -> list[str]:
        """The slices whose names begin so, in order."""
        return sorted({where for _, where in self.numbers if where.startswith(prefix)})

    @property
    def slices(self) -> list[str]:
        """The parts of the test set that were looked at by themselves."""
        other = ("all", "label=", "true=", "confidence=")
        return sorted({where for _, where in self.numbers if not where.startswith(other)})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A judged run.

    Attributes:
        run: Its row, and so on for the next two.
        contenders: The challenger first, then the champion and the anchor where there are any.
        without_twins: Of a benchmark's model, its numbers on test scans without a twin in training.
        data: What it learnt from and is judged on.
        batches: The newest first.
        recorded: For how many scans of the snapshot manifests say what, by what.
        sites: Where scans of the snapshot came from, as manifests say.
        errors: Wrong answers of the challenger: missed tumours first, then the surest.
        right: Some right ones of each label.
    """

    run: Run
    verdict: Verdict
    model: ModelVersion
    rules: Sequence[VerdictRule]
    epochs: Sequence[Epoch]
    contenders: Sequence[Contender]
    without_twins: Numbers
    data: DataOfRun
    batches: Sequence[BatchOfData]
    recorded: Mapping[str, int]
    sites: Sequence[str]
    errors: Sequence[ShownAnswer]
    right: Sequence[ShownAnswer]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the task, in the order of their class indices."""
        return self.data.labels

    @property
    def challenger(self) -> Contender:
        """The run's own model version."""
        return self.contenders[0]

    @property
    def champion(self) -> Contender | None:
        """Who was challenged, if anybody was."""
        return next((one for one in self.contenders if one.role == "champion"), None)

    @property
    def scans(self) -> int:
        """Of the snapshot."""
        return sum(side.scans for side in self.data.sides.values())

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe's file."""
        return tomllib.loads(self.run.recipe_text)

    @property
    def policy(self) -> dict[str, Any]:
        """The policy's file."""
        return tomllib.loads(self.verdict.policy_text)

    @property
    def keeps_last_epoch(self) -> bool:
        """Whether the recipe keeps the last weights, not those of the lowest validation loss."""
        return self.recipe.get("kept_epoch") == "last"

    @property
    def kept_epoch(self) -> Epoch | None:
        """Whose weights were kept."""
        if self.keeps_last_epoch and self.epochs:
            return self.epochs[-1]
        return min(
            self.epochs, key=lambda epoch: (epoch.validation_loss, epoch.epoch), default=None
        )

    @property
    def support(self) -> dict[str, int]:
        """Test scans by label, as the challenger was asked."""
        totals = self.challenger.confusion.sum(axis=1).tolist()
        return dict(zip(self.labels, totals, strict=True))

    @property
    def wrong(self) -> int:
        """Wrong answers of the challenger."""
        confusion = self.challenger.confusion
        return int(confusion.sum() - np.trace(confusion))


def gather_run_facts(session: Session, store: ObjectStore, run_id: str) -> RunFacts:
    """Read what is told about a run.

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
    numbers = _numbers(session, run_id)
    labels = LABELS[Task(run.task)]
    of_verdict = select(VerdictRule).where(VerdictRule.verdict_id == verdict.id)
    of_run = select(Epoch).where(Epoch.run_id == run_id)
    return RunFacts(
        run=run,
        verdict=verdict,
        model=session.get_one(ModelVersion, verdict.challenger_id),
        rules=session.scalars(of_verdict.order_by(VerdictRule.position)).all(),
        epochs=session.scalars(of_run.order_by(Epoch.epoch)).all(),
        contenders=[
            _contender(session, run, role, model, numbers.get((model, "test"), {}))
            for role, model in roles.items()
            if model is not None
        ],
        without_twins=numbers.get((verdict.challenger_id, "test_without_twins"), {}),
        data=read_data(session, run),
        batches=read_batches(session, run.snapshot_id),
        recorded=read_recorded(session, run.snapshot_id),
        sites=read_sites(session, run.snapshot_id),
        errors=sorted(
            read_shown(session, store, surest_errors(run, verdict.challenger_id, SHOWN_ERRORS)),
            key=lambda answer: (not answer.missed, -answer.probability),
        ),
        right=read_shown(session, store, right_samples(run_id, verdict.challenger_id, len(labels))),
    )


def _numbers(
    session: Session, run_id: str
) -> dict[tuple[str, str], dict[tuple[str, str], Evaluation]]:
    found: dict[tuple[str, str], dict[tuple[str, str], Evaluation]] = {}
    for row in session.scalars(select(Evaluation).where(Evaluation.run_id == run_id)):
        found.setdefault((row.model_version_id, row.split), {})[row.metric, row.slice] = row
    return found


def _contender(session: Session, run: Run, role: str, model: str, numbers: Numbers) -> Contender:
    version = session.get_one(ModelVersion, model)
    own = session.get_one(Run, version.run_id)
    answers = read_answers(session, run.id, model, LABELS[Task(run.task)])
    return Contender(
        role=role,
        version=version,
        run=own,
        trained=read_sides(session, own.snapshot_id)["train"].scans,
        learnt=read_learnt(session, run.snapshot_id, own.snapshot_id),
        numbers=numbers,
        confusion=confusion_counts(answers),
        curves=label_curves(answers),
    )
