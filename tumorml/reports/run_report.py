"""The step ``report``: one self-contained HTML page about a run."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.datasets.splits import SIDES
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.objects import ObjectStore, object_store
from tumorml.reports.figures import confusion_figure, curves_figure, reliability_figure
from tumorml.results.artifacts import record_artifacts
from tumorml.results.session import reading, writing
from tumorml.results.tables import (
    Epoch,
    Evaluation,
    GroupTie,
    Leak,
    ModelVersion,
    Prediction,
    Run,
    Snapshot,
    Verdict,
    VerdictRule,
)
from tumorml.results.tables.training import LEAK_KINDS
from tumorml.settings import Settings

SHOWN_HEATMAPS = 24


@dataclass(frozen=True, slots=True)
class Shown:
    """A heatmap on the page."""

    caption: str
    source: str


def write_run_report(settings: Settings, run_id: str) -> str:
    """Write ``runs/<run>/report.html`` into the object store.

    Returns:
        The page's object key.

    Raises:
        TumorMLError: The run has not been judged.
    """
    store = object_store(settings)
    key = f"runs/{run_id}/report.html"
    with reading(settings) as session:
        page = _render(session, store, run_id).encode()
    store.write(key, page)
    row = {
        "object_key": key,
        "kind": "report",
        "media_type": "text/html",
        "size_bytes": len(page),
        "sha256": hashlib.sha256(page).hexdigest(),
        "run_id": run_id,
    }
    with writing(settings) as session:
        record_artifacts(session, [row])
    return key


def _render(session: Session, store: ObjectStore, run_id: str) -> str:
    run = session.get(Run, run_id)
    verdict = session.scalar(select(Verdict).where(Verdict.run_id == run_id))
    if run is None or verdict is None:
        raise TumorMLError(f"Run {run_id} has no verdict yet; judge it first.")
    labels = LABELS[Task(run.task)]
    evaluations = session.scalars(select(Evaluation).where(Evaluation.run_id == run_id)).all()
    numbers: dict[str, dict[tuple[str, str], Evaluation]] = {}
    clean: dict[tuple[str, str], Evaluation] = {}
    for row in evaluations:
        if row.split == "test":
            numbers.setdefault(row.model_version_id, {})[row.metric, row.slice] = row
        else:
            clean[row.metric, row.slice] = row
    leaks: dict[str, dict[str, int]] = {kind: {} for kind in LEAK_KINDS}
    for leak in session.scalars(select(Leak).where(Leak.run_id == run_id)):
        leaks[leak.kind][leak.label] = leak.scans
    epochs = session.scalars(
        select(Epoch).where(Epoch.run_id == run_id).order_by(Epoch.epoch)
    ).all()
    roles = {
        "challenger": verdict.challenger_id,
        "champion": verdict.champion_id,
        "anchor": verdict.anchor_id,
    }
    contenders = [(role, model) for role, model in roles.items() if model is not None]
    figures = [("Training", _data_url(curves_figure(epochs)))]
    for role, model in contenders:
        figure = confusion_figure(_confusion(numbers[model], labels), labels, f"{role} {model}")
        figures.append((f"Confusion matrix of the {role}", _data_url(figure)))
        bins = _reliability(numbers[model])
        if bins:
            figure = reliability_figure(bins, f"{role} {model}")
            figures.append((f"Reliability of the {role}", _data_url(figure)))
    environment = Environment(
        loader=PackageLoader("tumorml.reports"), autoescape=select_autoescape()
    )
    return environment.get_template("run_report.html").render(
        run=run,
        verdict=verdict,
        model=session.get_one(ModelVersion, verdict.challenger_id),
        snapshot=session.get_one(Snapshot, run.snapshot_id),
        rules=session.scalars(
            select(VerdictRule)
            .where(VerdictRule.verdict_id == verdict.id)
            .order_by(VerdictRule.position)
        ).all(),
        labels=labels,
        contenders=contenders,
        numbers=numbers,
        clean=clean,
        leaks=leaks,
        ties=_ties(session, run),
        figures=figures,
        heatmaps=_heatmaps(session, store, run_id, verdict.challenger_id),
    )


def _ties(session: Session, run: Run) -> dict[str, int]:
    """How many groups had become one when the run began, by the sides that they stood on."""
    rows = session.execute(
        select(GroupTie.kept_side, GroupTie.merged_side, func.count())
        .where(GroupTie.created_at <= run.created_at)
        .group_by(GroupTie.kept_side, GroupTie.merged_side)
    )
    ties: Counter[str] = Counter()
    for kept, merged, count in rows:
        first, second = sorted((kept, merged), key=SIDES.index)
        ties[first if first == second else f"{first} and {second}"] += count
    return dict(ties)


def _confusion(
    numbers: dict[tuple[str, str], Evaluation], labels: tuple[str, ...]
) -> list[list[int]]:
    return [
        [
            int(numbers["confusion", f"true={true} predicted={predicted}"].value or 0)
            for predicted in labels
        ]
        for true in labels
    ]


def _reliability(
    numbers: dict[tuple[str, str], Evaluation],
) -> list[tuple[float, Evaluation]]:
    """Each bin's mean confidence and its accuracy; none for a run of before they were kept."""
    return [
        (float(numbers["reliability_confidence", where].value or 0), row)
        for (metric, where), row in sorted(numbers.items())
        if metric == "reliability_accuracy"
    ]


def _heatmaps(session: Session, store: ObjectStore, run_id: str, model: str) -> list[Shown]:
    rows: Any = session.execute(
        select(Prediction.heatmap_key, Prediction.true_label, Prediction.label)
        .where(
            Prediction.run_id == run_id,
            Prediction.model_version_id == model,
            Prediction.heatmap_key.is_not(None),
        )
        .order_by((Prediction.label != Prediction.true_label).desc(), Prediction.probability.desc())
        .limit(SHOWN_HEATMAPS)
    )
    return [
        Shown(
            f"true {true}, predicted {predicted}" + ("" if true == predicted else " - wrong"),
            _data_url(store.read(key)),
        )
        for key, true, predicted in rows
    ]


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
