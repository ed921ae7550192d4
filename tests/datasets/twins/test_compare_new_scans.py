from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import func, select, update

from tests.factories.drop_files import image_bytes, write_inbox
from tumorml.datasets.twins.compare_new_scans import compare_new_scans, load_catalogue
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Fingerprint, Twin
from tumorml.results.twin_kinds import TwinKind
from tumorml.scans.images.fingerprint import VERSION
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest import fingerprint_scans as fingerprinting
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.settings import Settings


@pytest.fixture
def pictures() -> list[np.ndarray]:
    anatomy = load_anatomy()
    return [
        made.image
        for index in range(4)
        for made in draw_patient(anatomy, "glioma", index, seed=7, slices=1)
    ]


def ingest_drop(settings: Settings, drop: str, files: dict[str, bytes]) -> None:
    write_inbox(settings, drop, files)
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)


def copies_of(pictures: list[np.ndarray]) -> dict[str, bytes]:
    return {f"{i}.jpg": image_bytes(p[:, ::-1], "JPEG") for i, p in enumerate(pictures)}


def twins(settings: Settings) -> set[tuple[str, str, str]]:
    with read_session(settings) as session:
        return set(session.execute(select(Twin.scan_id, Twin.other_id, Twin.kind)).all())


def test_each_pair_of_twins_is_found_once(settings: Settings, pictures: list[np.ndarray]) -> None:
    ingest_drop(settings, "one", {f"{i}.png": image_bytes(p) for i, p in enumerate(pictures)})
    assert compare_new_scans(settings) == 0
    ingest_drop(settings, "two", copies_of(pictures))
    assert compare_new_scans(settings) == 4
    assert compare_new_scans(settings) == 0
    assert {kind for _, _, kind in twins(settings)} == {TwinKind.MIRRORED}
    catalogue = load_catalogue(settings)
    assert list(catalogue.ids) == sorted(catalogue.ids) and len(catalogue.ids) == 8


def test_concurrent_comparisons_find_each_pair_once(
    settings: Settings, pictures: list[np.ndarray]
) -> None:
    files = {f"{i}.png": image_bytes(p) for i, p in enumerate(pictures)}
    ingest_drop(settings, "both", files | copies_of(pictures))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(compare_new_scans, [settings, settings]))
    assert sum(found) == 4 == len(twins(settings))


def test_fingerprints_of_an_older_version_are_replaced(
    settings: Settings, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{i}.png": image_bytes(p) for i, p in enumerate(pictures)}
    ingest_drop(settings, "both", files | copies_of(pictures))
    compare_new_scans(settings)
    before = twins(settings)
    with write_session(settings) as session:
        session.execute(update(Fingerprint).values(version=VERSION - 1, keys=b"old"))
        session.execute(update(Twin).values(kind=TwinKind.SIMILAR))
    assert len(load_catalogue(settings).ids) == 0
    monkeypatch.setattr(fingerprinting, "_SCANS_PER_TRANSACTION", 3)
    assert fingerprint_scans(settings) == 8
    assert twins(settings) == set()
    compare_new_scans(settings)
    assert twins(settings) == before
    with read_session(settings) as session:
        assert session.scalar(select(func.min(Fingerprint.version))) == VERSION
