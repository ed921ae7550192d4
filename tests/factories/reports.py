"""Judged runs with made-up answers, written as the steps of a retraining write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import insert

from tests.factories.answers import FOUR
from tests.factories.rows import model_row, run_row, verdict_row
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.localization import BASELINES
from tumorml.evaluation.metrics import Metric, score, score_slice, write_metrics
from tumorml.evaluation.predictions import write_predictions
from tumorml.explain.overlay import overlay_png
from tumorml.labels import Task
from tumorml.objects import object_store
from tumorml.results.session import write_session
from tumorml.results.tables import (
    Batch,
    Epoch,
    Leak,
    Scan,
    Snapshot,
    SnapshotScan,
    VerdictRule,
)
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS
RUN, CHALLENGER, CHAMPION = "r-new", "m-new", "m-old"


def judged_run(
    settings: Settings,
    answers: Answers,
    champion: Answers | None = None,
    *,
    pointing: tuple[float, float, float] | None = None,
    heatmaps: bool = True,
    given_split: bool = False,
    slices: Mapping[str, np.ndarray] | None = None,
    resamples: int = 100,
) -> str:
    """Add a judged run of ``CHALLENGER``, and of ``CHAMPION`` if it has answers.

    Args:
        settings: Settings of the results store.
        answers: The challenger's answers about all test scans.
        champion: The champion's answers about the same scans.
        pointing: The challenger's pointing game and its interval; the baselines have 0.3 and 0.28.
            None if there are no masks.
        heatmaps: True if every answer of the challenger has a heatmap.
        given_split: True for a benchmark; its test scans of the last label all have twins.
        slices: Slices of the test set, bool [n] by name.
        resamples: Number of bootstrap resamples.
    """
    scans = list(answers.scan_ids)
    truth = [answers.labels[index] for index in answers.known_truth]
    _add_data(settings, scans, truth, masked=pointing is not None)
    with write_session(settings) as session:
        if champion is not None:
            session.add(run_row("r-old", TASK, "s", state="judged"))
            session.flush()
            session.add(model_row(CHAMPION, "r-old", TASK, labels=list(FOUR)))
            session.flush()
        champion_id = CHAMPION if champion else None
        session.add(
            run_row(
                RUN, TASK, "s", state="judged", champion_id=champion_id, given_split=given_split
            )
        )
        session.flush()
        session.add(model_row(CHALLENGER, RUN, TASK, labels=list(FOUR)))
        session.flush()
        _add_verdict(session, champion_id)
        moment = datetime(2026, 5, 3, tzinfo=UTC)
        overlay = _overlay(settings) if heatmaps else None
        for model, answered in ((CHALLENGER, answers), (CHAMPION, champion)):
            if answered is None:
                continue
            write_predictions(
                session,
                answered,
                task=TASK,
                model_version_id=model,
                run_id=RUN,
                source="evaluation",
                created_at=moment,
                heatmap_keys=[overlay if model == CHALLENGER else None] * len(scans),
            )
            metrics = score(answered, scans, resamples=resamples)
            for name, chosen in (slices or {}).items():
                metrics += score_slice(answered, scans, chosen, name, resamples=resamples)
            if pointing is not None and model == CHALLENGER:
                metrics += localization_metrics(pointing)
            by_split = {"test": metrics}
            if given_split:
                clean = answered.known_truth < len(FOUR) - 1
                part = answered.select(clean)
                by_split["test_without_twins"] = score(part, part.scan_ids, resamples=resamples)
            write_metrics(session, by_split, run_id=RUN, model_version_id=model)
    return RUN


def of_label(answers: Answers, predicted: int) -> Answers:
    """Return the answers of a model that always predicts one label."""
    probabilities = np.full_like(answers.probabilities, 0.1)
    probabilities[:, predicted] = 0.7
    always = np.full_like(answers.predicted, predicted)
    return Answers(answers.scan_ids, answers.labels, probabilities, always, answers.truth)


def _add_data(settings: Settings, scans: Sequence[str], truth: Sequence[str], masked: bool) -> None:
    with write_session(settings) as session:
        session.add(
            Batch(id="b", drop_name="<b>first | drop</b>", fingerprint="", state="ingested")
        )
        session.flush()
        numbers = {"mean": 1, "deviation": 1, "entropy": 1, "foreground_share": 1}
        values = {"width": 64, "height": 64, "object_key": "", "batch_id": "b", **numbers}
        session.execute(insert(Scan), [{"id": scan, **values} for scan in scans])
        counts = {label: truth.count(label) for label in FOUR}
        split = dict.fromkeys(("train", "validation", "test"), counts)
        session.add(Snapshot(id="s", task=TASK, counts=split, held_out={}, object_key=""))
        session.flush()
        session.execute(
            insert(SnapshotScan),
            [
                {
                    "snapshot_id": "s",
                    "scan_id": scan,
                    "split": "test",
                    "label": label,
                    "group_id": scan,
                    "masked": masked,
                }
                for scan, label in zip(scans, truth, strict=True)
            ],
        )


def _add_verdict(session, champion: str | None) -> None:
    session.add(
        verdict_row(
            "v", RUN, TASK, CHALLENGER, champion_id=champion, outcome="kept", reason="it fell short"
        )
    )
    session.flush()
    session.add_all(
        VerdictRule(
            verdict_id="v",
            position=position,
            rule="recall_floor",
            slice=f"label={label}",
            result=result,
            scans=9,
            groups=3,
            explanation="recall 0.900, the floor is 0.400",
        )
        for position, (label, result) in enumerate(
            zip(FOUR, ("passed", "failed", "insufficient", "passed"), strict=True)
        )
    )
    session.add_all(
        Leak(run_id=RUN, kind=kind, label=label, scans=scans * (number + 1))
        for kind, scans in ((TwinKind.EXACT, 0), (TwinKind.NONE, 9))
        for number, label in enumerate(FOUR)
    )
    session.add_all(
        Epoch(
            run_id=RUN,
            epoch=number,
            phase="head" if number < 3 else "all",
            loss=1 / number,
            accuracy=1 - 0.5 / number,
            validation_loss=1.1 / number if number < 5 else 1.0,
            validation_accuracy=1 - 0.6 / number,
            learning_rate=0.001,
            seconds=1.0,
            peak_memory_bytes=1,
        )
        for number in range(1, 6)
    )


def _overlay(settings: Settings) -> str:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    heat = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    png = overlay_png(
        pixels, heat, label="glioma", prediction="pituitary", probability=0.9, meaning="made up"
    )
    object_store(settings).write("runs/r-new/heatmaps/made.png", png)
    return "runs/r-new/heatmaps/made.png"


def localization_metrics(pointing: tuple[float, float, float]) -> list[Metric]:
    """Metrics of heatmaps and baselines, each with a number of its own."""
    metrics = []
    for name, model, *baselines in (
        ("pointing_game", pointing, 0.3, 0.28),
        ("energy_inside", (0.55, 0.45, 0.65), 0.12, 0.21),
        ("iou", (0.35, 0.25, 0.48), 0.02, 0.17),
    ):
        value, low, high = model
        metrics.append(Metric(name, "all", value, low, high, 50))
        for other, baseline in zip(BASELINES, baselines, strict=True):
            interval = (baseline - 0.01, baseline + 0.02)
            metrics.append(Metric(f"{name}_{other}", "all", baseline, *interval, 50))
            gain = (value - baseline, low - baseline, high - baseline)
            metrics.append(Metric(f"{name}_gain_{other}", "all", *gain, 50))
    return metrics
