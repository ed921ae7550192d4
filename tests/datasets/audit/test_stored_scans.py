from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, text

from tests.factories.drop_files import image_bytes, write_inbox
from tumorml.datasets.audit.stored_scans import read_store, stored_pictures
from tumorml.datasets.audit.summarize import summarize
from tumorml.datasets.grouping.assign_groups import assign_groups
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.errors import TumorMLError
from tumorml.results.session import read_session
from tumorml.results.tables import Fingerprint, GroupTie, ScanGroup, Twin
from tumorml.results.twin_kinds import TwinKind
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.settings import Settings


def ingest_drop(settings: Settings, drop: str, files: dict[str, bytes]) -> None:
    write_inbox(settings, drop, files)
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)
    assign_groups(settings)


def test_copies_in_a_later_drop_join_the_group_of_the_original(settings: Settings) -> None:
    anatomy = load_anatomy()
    slices = [
        made.image
        for index in range(6)
        for made in draw_patient(anatomy, "glioma", index, seed=7, slices=1)
    ]
    ingest_drop(
        settings,
        "first",
        {f"glioma/{i}.png": image_bytes(pixels) for i, pixels in enumerate(slices)},
    )
    mirrored = Image.fromarray(np.ascontiguousarray(np.rot90(slices[1])[:, ::-1])).resize(
        (300, 300)
    )
    ingest_drop(
        settings,
        "later",
        {
            "glioma/re-encoded.jpg": image_bytes(slices[0], "JPEG", quality=60),
            "meningioma/mirrored.jpg": image_bytes(np.asarray(mirrored), "JPEG", quality=80),
            "no_tumor/blank.png": image_bytes(np.full((64, 64), 90, np.uint8)),
            "no_tumor/ramp.png": image_bytes(np.tile(np.arange(64, dtype=np.uint8), (64, 1))),
        },
    )
    with read_session(settings) as session:
        twins = {(twin.kind, twin.score > 0.92) for twin in session.scalars(select(Twin))}
        groups = {row.scan_id: row for row in session.scalars(select(ScanGroup))}
        fingerprints = session.scalars(select(Fingerprint)).all()
        conflicts = session.execute(text("select labels from label_conflict")).scalars().all()
        ties = session.scalars(select(GroupTie)).all()
    assert twins == {(TwinKind.REENCODED, True), (TwinKind.MIRRORED, True)}
    assert len({row.group_id for row in groups.values()}) == len(groups) - 2
    assert all(row.compared_at for row in fingerprints) and len(fingerprints) == len(groups)
    assert sorted(conflicts[0].split(", ")) == ["glioma", "meningioma"] and len(conflicts) == 1
    assert ties == []  # a copy joins a group; no groups are merged

    stored = read_store(settings)
    audit = summarize(stored.files, stored.twins, stored.places)
    assert audit.overall.with_twin == 0 or not audit.has_split
    assert len(stored_pictures(settings, stored.files[:2], 64)) == 2


def test_store_without_groups_is_an_error(settings: Settings) -> None:
    with pytest.raises(TumorMLError, match="No scan in the store"):
        read_store(settings)
