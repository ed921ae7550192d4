"""Export a trained network for serving: LiteRT model and reference."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from tumorml.datasets.pixels import SplitPixels
from tumorml.models.files import LITE_FILE, REFERENCE_FILE
from tumorml.models.predictor import Predictor
from tumorml.models.reference import MAX_TRAINING_SCANS, make_reference, unit_length
from tumorml.models.served import KerasServed, LiteServed, NetworkOutputs, Served, write_lite

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference of a probability, evidence value or unit-length feature after export."""
_BATCH = 32


def export_for_serving(
    predictor: Predictor, train: SplitPixels, validation: SplitPixels, folder: Path
) -> list[str]:
    """Write the LiteRT model and the reference of a trained network.

    The LiteRT model is written only if its outputs for all validation scans match those of the
    network within `TOLERANCE`.

    Args:
        predictor: The trained and calibrated network.
        train: Training scans, at least one.
        validation: Validation scans.
        folder: Folder of the model version; created if missing.

    Returns:
        The names of the written files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    served: Served = KerasServed(predictor)
    expected = _run(served, validation, np.arange(len(validation.scan_ids)))
    names = [REFERENCE_FILE]
    lite = _export_lite(predictor, folder / LITE_FILE, validation, expected)
    if lite is not None:
        served = lite
        names.append(LITE_FILE)
    count = len(train.scan_ids)
    rows = np.linspace(0, count - 1, min(count, MAX_TRAINING_SCANS)).round().astype(np.int64)
    rows = np.unique(rows)
    make_reference(
        predictor,
        [train.scan_ids[row] for row in rows],
        train.labels[rows],
        _run(served, train, rows).features,
        expected.logits,
        validation.labels,
        expected.features,
    ).save(folder / REFERENCE_FILE)
    return names


def _export_lite(
    predictor: Predictor, path: Path, validation: SplitPixels, expected: NetworkOutputs
) -> LiteServed | None:
    """Write the LiteRT model and return it; None if the export fails or its outputs differ."""
    try:
        write_lite(predictor, path)
        served = LiteServed(path, predictor.task, predictor.calibration)
        outputs = _run(served, validation, np.arange(len(validation.scan_ids)))
    except Exception as error:  # the converter raises many types for networks it does not support
        logger.warning("no LiteRT export, so servers of this model need TensorFlow: %s", error)
        return None
    pairs = (
        (predictor.calibrated(outputs.logits), predictor.calibrated(expected.logits)),
        (unit_length(outputs.features), unit_length(expected.features)),
        (outputs.evidence, expected.evidence),
    )
    difference = np.max([_largest_difference(*pair) for pair in pairs])
    if not difference <= TOLERANCE:
        logger.warning(
            "the LiteRT export differs by %.2g, so servers of this model need TensorFlow",
            difference,
        )
        return None
    return served


def _largest_difference(first: np.ndarray | None, second: np.ndarray | None) -> float:
    if first is None or second is None:
        return 0.0 if first is second else np.inf
    return float(np.max(np.abs(first - second), initial=0.0))


def _run(served: Served, pixels: SplitPixels, rows: np.ndarray) -> NetworkOutputs:
    """Run a model on some scans, in batches."""
    if not len(rows):  # run a blank scan to get the shapes
        blank = np.zeros((1, served.input_size, served.input_size), np.uint8)
        logits, features, evidence = served.run(blank)
        return NetworkOutputs(logits[:0], features[:0], None if evidence is None else evidence[:0])
    batches = [
        served.run(pixels.images[rows[start : start + _BATCH]])
        for start in range(0, len(rows), _BATCH)
    ]
    evidence_maps = [batch.evidence for batch in batches if batch.evidence is not None]
    return NetworkOutputs(
        np.concatenate([batch.logits for batch in batches]),
        np.concatenate([batch.features for batch in batches]),
        np.concatenate(evidence_maps) if evidence_maps else None,
    )
