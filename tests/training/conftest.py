from __future__ import annotations

import pytest

from tests.factories.blob_training import BlobTraining, train_blobs


@pytest.fixture(scope="session")
def blob_training(tmp_path_factory: pytest.TempPathFactory) -> BlobTraining:
    """An uninterrupted training of `tiny_recipe` on blobs with seed 7; tests must not change it."""
    folder = tmp_path_factory.mktemp("blob-training")
    return BlobTraining(train_blobs(folder)[0], folder)
