"""What a training leaves for servers, beside the network itself."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from tumorml.datasets.pixels import SplitPixels
from tumorml.models.files import LITE_FILE, REFERENCE_FILE
from tumorml.models.predictor import Predictor
from tumorml.models.reference import MOST_SCANS, remember, unit
from tumorml.models.served import KerasServed, LiteServed, Seen, Served, write_lite

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""By which probabilities, evidence and features (of length 1) may differ in an exported network."""
_BATCH = 32


def write_for_servers(
    predictor: Predictor, train: SplitPixels, validation: SplitPixels, folder: Path
) -> list[str]:
    """Write the network for LiteRT, if that answers validation as it does, and its reference.

    Args:
        predictor: Trained and calibrated.
        train: What it learnt from, at least one scan.
        validation: What it was calibrated on.
        folder: Of the model version; made when missing.

    Returns:
        The names of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    served: Served = KerasServed(predictor)
    expected = _look(served, validation, np.arange(len(validation.scan_ids)))
    names = [REFERENCE_FILE]
    lite = _lite(predictor, folder / LITE_FILE, validation, expected)
    if lite is not None:
        served = lite
        names.append(LITE_FILE)
    count = len(train.scan_ids)
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_SCANS)).round().astype(np.int64))
    remember(
        predictor,
        [train.scan_ids[row] for row in rows],
        train.labels[rows],
        _look(served, train, rows).features,
        expected.logits,
        validation.labels,
        expected.features,
    ).save(folder / REFERENCE_FILE)
    return names


def _lite(
    predictor: Predictor, path: Path, validation: SplitPixels, expected: Seen
) -> LiteServed | None:
    try:
        write_lite(predictor, path)
        served = LiteServed(path, predictor.task, predictor.calibration)
        seen = _look(served, validation, np.arange(len(validation.scan_ids)))
    except Exception as error:  # whatever a converter raises about a network that it does not know
        logger.warning("servers will need TensorFlow for it: no LiteRT export: %s", error)
        return None
    pairs = (
        (predictor.calibrated(seen.logits), predictor.calibrated(expected.logits)),
        (unit(seen.features), unit(expected.features)),
        (seen.evidence, expected.evidence),
    )
    difference = np.max([_largest_difference(*pair) for pair in pairs])
    if not difference <= TOLERANCE:
        logger.warning("servers will need TensorFlow for it: LiteRT differs by %.2g", difference)
        return None
    return served


def _largest_difference(one: np.ndarray | None, other: np.ndarray | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else np.inf
    return float(np.max(np.abs(one - other), initial=0.0))


def _look(served: Served, pixels: SplitPixels, rows: np.ndarray) -> Seen:
    if not len(rows):  # the shapes are the network's own
        blank = np.zeros((1, served.input_size, served.input_size), np.uint8)
        logits, features, evidence = served.look(blank)
        return Seen(logits[:0], features[:0], None if evidence is None else evidence[:0])
    parts = [
        served.look(pixels.images[rows[start : start + _BATCH]])
        for start in range(0, len(rows), _BATCH)
    ]
    maps = [part.evidence for part in parts if part.evidence is not None]
    return Seen(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate(maps) if maps else None,
    )
