"""Export for serving: kept only if its outputs are those of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.factories.champions import SIDE, BuiltModel, build_model, noise_scans, shared_model
from tumorml.datasets.resize import fit_to_square
from tumorml.models.artifact import load_served
from tumorml.models.served import KerasServed, LiteServed, write_lite
from tumorml.training import export_for_serving

IMAGES = np.stack([fit_to_square(one, SIDE) for one in noise_scans(3, seed=4)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BuiltModel:
    return shared_model(tmp_path_factory, seed=1)


def test_stored_model_is_served_without_tensorflow(made: BuiltModel) -> None:
    served, reference = load_served(made.folder)
    assert isinstance(served, LiteServed)
    assert reference is not None and len(reference.scan_ids) == 24
    np.testing.assert_allclose(served.predict(IMAGES), made.predictor.predict(IMAGES), atol=1e-4)


def test_export_with_other_outputs_is_not_kept(
    made: BuiltModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = build_model(tmp_path / "other", seed=2).predictor
    monkeypatch.setattr(export_for_serving, "write_lite", lambda _, path: write_lite(other, path))
    again = build_model(tmp_path / "again", seed=1)
    assert again.files == ["reference.npz"]
    served, reference = load_served(again.folder)
    assert isinstance(served, KerasServed) and reference is not None
    np.testing.assert_allclose(served.predict(IMAGES), made.predictor.predict(IMAGES), atol=1e-5)


def test_network_without_export_is_served_by_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("an operation that LiteRT does not know")

    monkeypatch.setattr(export_for_serving, "write_lite", refuse)
    assert build_model(tmp_path, seed=1).files == ["reference.npz"]
    assert "an operation that LiteRT does not know" in caplog.text
    assert isinstance(load_served(tmp_path)[0], KerasServed)
