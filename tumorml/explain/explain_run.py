"""The step ``explain``: heatmaps and feature maps of a run, and their localization metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Text, column, select, update, values
from sqlalchemy.orm import Session

from tumorml.datasets.pixel_cache import read_scan
from tumorml.datasets.resize import fit_to_square, from_square
from tumorml.datasets.snapshots import read_snapshot
from tumorml.evaluation.metrics import write_metrics
from tumorml.explain.feature_maps import feature_maps, sheet_png
from tumorml.explain.heatmaps import heatmap_meaning, heatmaps
from tumorml.explain.measure_localization import measure_localization
from tumorml.explain.overlay import overlay_png
from tumorml.explain.shown_answers import first_right_answers, most_confident_errors
from tumorml.models.model_versions import fetch_predictor
from tumorml.models.predictor import Predictor
from tumorml.objects import ObjectStore, object_store
from tumorml.objects.keys import feature_maps_key, run_heatmap_key, scan_key
from tumorml.policy import load_policy
from tumorml.results.artifacts import artifact_row, record_artifacts
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import ModelVersion, Prediction, Run
from tumorml.scans.images.decode import decode
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 32


@dataclass(frozen=True, slots=True)
class ChosenAnswer:
    """An answer that gets a heatmap."""

    scan_id: str
    true_label: str | None
    label: str
    probability: float


def explain_run(settings: Settings, run_id: str) -> int:
    """Store the overlays of a run's test answers that the report shows.

    These are at most ``heatmaps_of_errors`` wrong answers, missed tumors and high probabilities
    first, and for each label the first ``heatmaps_per_label`` right answers by scan id. The first
    right answer of each label also gets a sheet of feature maps. The predictions' rows refer to
    their overlays, and the localization metrics become ``evaluation`` rows. The step is idempotent.

    Returns:
        The number of overlays.
    """
    with read_session(settings) as session:
        run = session.get_one(Run, run_id)
        model = session.scalars(select(ModelVersion.id).where(ModelVersion.run_id == run_id)).one()
        snapshot = run.snapshot_id
        chosen = [
            ChosenAnswer(scan, true_label, label, probability)
            for query in (
                most_confident_errors(run, model, settings.heatmaps_of_errors),
                first_right_answers(run, model, settings.heatmaps_per_label),
            )
            for scan, true_label, label, probability, _ in session.execute(query)
        ]
    predictor = fetch_predictor(settings, model)
    keys: dict[str, str] = {}
    artifacts = []
    for answer, key, data in store_overlays(object_store(settings), predictor, chosen, run_id):
        keys[answer.scan_id] = key
        artifacts.append(artifact_row("heatmap", key, data, answer.scan_id, model, run_id))
    for scan_id, key, data in _store_feature_maps(settings, predictor, chosen, run_id):
        artifacts.append(artifact_row("feature_maps", key, data, scan_id, model, run_id))
    localization = measure_localization(
        settings,
        predictor,
        read_snapshot(settings, snapshot),
        resamples=load_policy(settings.promotion_policy).resamples,
    )
    with write_session(settings) as session:
        write_metrics(session, {"test": localization}, run_id=run_id, model_version_id=model)
        record_artifacts(session, artifacts)
        if keys:
            _set_heatmap_keys(session, run_id, model, keys)
    wrong = sum(answer.label != answer.true_label for answer in chosen)
    logger.info("run %s: %s heatmaps, %s of them of wrong answers", run_id, len(keys), wrong)
    return len(keys)


def _set_heatmap_keys(session: Session, run_id: str, model: str, keys: Mapping[str, str]) -> None:
    """Set the heatmap keys of predictions, by scan id, in one statement."""
    key_of_scan = values(column("scan_id", Text), column("key", Text), name="key_of_scan").data(
        list(keys.items())
    )
    session.execute(
        update(Prediction)
        .where(
            Prediction.run_id == run_id,
            Prediction.model_version_id == model,
            Prediction.scan_id == key_of_scan.c.scan_id,
        )
        .values(heatmap_key=key_of_scan.c.key)
        .execution_options(synchronize_session=False)
    )


def store_overlays(
    store: ObjectStore, predictor: Predictor, answers: Sequence[ChosenAnswer], run_id: str
) -> Iterator[tuple[ChosenAnswer, str, bytes]]:
    """Draw and store overlays in batches; yields each answer with its object key and its PNG."""
    for start in range(0, len(answers), BATCH):
        part = answers[start : start + BATCH]
        originals = [decode(store.read(scan_key(answer.scan_id))).pixels for answer in part]
        images = np.stack([fit_to_square(pixels, predictor.input_size) for pixels in originals])
        classes = np.array([predictor.labels.index(answer.label) for answer in part])
        maps = heatmaps(predictor, images, classes)
        for answer, pixels, heatmap in zip(part, originals, maps, strict=True):
            data = overlay_png(
                pixels,
                from_square(heatmap, *pixels.shape),
                label=answer.true_label,
                prediction=answer.label,
                probability=answer.probability,
                meaning=heatmap_meaning(predictor, answer.label),
            )
            key = run_heatmap_key(run_id, answer.scan_id)
            store.write(key, data)
            yield answer, key, data
        if start % (10 * BATCH) == 0:
            logger.info("%s of %s heatmaps drawn", start + len(part), len(answers))


def _store_feature_maps(
    settings: Settings, predictor: Predictor, answers: Sequence[ChosenAnswer], run_id: str
) -> Iterator[tuple[str, str, bytes]]:
    """Draw and store a sheet for the first right answer of each label.

    Yields:
        The scan id, the object key and the PNG of each sheet.
    """
    store = object_store(settings)
    first = {a.label: a for a in reversed(answers) if a.label == a.true_label}
    for answer in first.values():
        image = read_scan(store, answer.scan_id, predictor.input_size)
        data = sheet_png(feature_maps(predictor.model, image))
        key = feature_maps_key(run_id, answer.scan_id)
        store.write(key, data)
        yield answer.scan_id, key, data
