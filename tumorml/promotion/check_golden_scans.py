"""Check that the stored model reproduces the answers recorded during training."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tumorml.errors import TumorMLError
from tumorml.models.golden_scans import compare_golden_scans
from tumorml.models.model_versions import fetch_model
from tumorml.objects import object_store
from tumorml.promotion.contest import GoldenCheck
from tumorml.settings import Settings


def check_golden_scans(settings: Settings, model_version_id: str) -> GoldenCheck:
    """Compare a model version's answers about its golden scans with the recorded ones.

    The model is fetched from the object store, bypassing the local cache, and loaded by the serving
    code. A model that cannot be fetched, loaded or run is reported in ``GoldenCheck.problem``.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            fetch_model(settings, model_version_id, Path(folder))
            return _check(settings, Path(folder))
    except TumorMLError as error:
        return GoldenCheck(0, problem=str(error))


def _check(settings: Settings, folder: Path) -> GoldenCheck:
    from tumorml.models.artifact import load_served, read_description

    recorded = read_description(folder).golden
    if not recorded:
        return GoldenCheck(0, problem="it has no golden scans")
    served, _ = load_served(folder)
    try:
        answers = list(compare_golden_scans(object_store(settings), served, recorded))
    except FileNotFoundError as error:
        raise TumorMLError(f"A golden scan is missing from the object store: {error}") from error
    largest = float(np.max([answer.difference for answer in answers]))
    if not np.isfinite(largest):
        return GoldenCheck(len(answers), problem="a probability is not a number")
    seconds = float(np.median([answer.seconds for answer in answers]))
    return GoldenCheck(len(answers), largest, latency_ms=1000 * seconds)
