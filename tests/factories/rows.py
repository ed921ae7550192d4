"""Rows of the results store that tests start from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import func, null

from tumorml.labels import LABELS, Task
from tumorml.results.session import write_session
from tumorml.results.tables import (
    Batch,
    BatchFile,
    Fingerprint,
    ModelVersion,
    Run,
    Scan,
    ScanLabel,
    Twin,
    Verdict,
)
from tumorml.results.twin_kinds import TwinKind
from tumorml.scans.images.fingerprint import VERSION
from tumorml.settings import Settings


class Dropped(NamedTuple):
    """A scan of a batch."""

    name: str
    label: str | None = None
    patient: str | None = None
    site: str | None = None
    given_split: str | None = None
    attributes: dict[str, str] | None = None
    width: int = 64
    """Width in pixels, like ``height``. Only those of the scan's first batch are used."""
    height: int = 64


def scan_of(name: str) -> str:
    """Return the id of the scan of a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def add_twins(
    settings: Settings,
    one: str,
    other: str,
    *,
    kind: TwinKind = TwinKind.REENCODED,
    score: float = 0.98,
) -> None:
    """Record two scans, by name, as twins."""
    first, second = sorted((scan_of(one), scan_of(other)))
    with write_session(settings) as session:
        session.add(Twin(scan_id=first, other_id=second, kind=kind, score=score, orientation=0))


def add_batch(settings: Settings, batch_id: str, dropped: Iterable[Dropped]) -> None:
    """Add an ingested batch with scans and files, but without objects."""
    with write_session(settings) as session:
        session.add(Batch(id=batch_id, drop_name=batch_id, fingerprint="", state="ingested"))
        session.flush()
        for number, item in enumerate(dropped):
            scan_id = scan_of(item.name)
            if session.get(Scan, scan_id) is None:
                session.add(
                    Scan(
                        id=scan_id,
                        width=item.width,
                        height=item.height,
                        mean=1,
                        deviation=1,
                        entropy=1,
                        foreground_share=1,
                        object_key="",
                        batch_id=batch_id,
                    )
                )
                session.flush()
                session.add(Fingerprint(scan_id=scan_id, version=VERSION, compared_at=func.now()))
            session.add(
                BatchFile(
                    batch_id=batch_id,
                    path=f"{number}-{item.name}",
                    outcome="taken_in",
                    scan_id=scan_id,
                    label=item.label,
                    patient_id=item.patient,
                    site=item.site,
                    given_split=item.given_split,
                    attributes=item.attributes or null(),
                )
            )
            if item.label and session.get(ScanLabel, (scan_id, item.label)) is None:
                session.add(ScanLabel(scan_id=scan_id, label=item.label, batch_id=batch_id))
            session.flush()


def four_class_batch(per_label: int = 60) -> list[Dropped]:
    """Return labeled scans of the four-class task, two of each patient."""
    return [
        Dropped(f"{label}-{number}", label, f"{label}-{number // 2}")
        for label in LABELS[Task.FOUR_CLASS]
        for number in range(per_label)
    ]


def run_row(run_id: str, task: str, snapshot_id: str, **values: Any) -> Run:
    """Return a run of an invented recipe."""
    made_up: dict[str, Any] = {
        "recipe": "made up",
        "recipe_text": "",
        "recipe_digest": run_id,
        "seed": 1,
        "epochs": 1,
        "trigger": "test",
    }
    return Run(id=run_id, task=task, snapshot_id=snapshot_id, **made_up | values)


def model_row(model_id: str, run_id: str, task: str, **values: Any) -> ModelVersion:
    """Return a model version without files."""
    made_up: dict[str, Any] = {
        "labels": [],
        "input_size": 1,
        "parameters": 1,
        "object_key": "",
        "sha256": "",
        "size_bytes": 1,
    }
    return ModelVersion(id=model_id, run_id=run_id, task=task, **made_up | values)


def verdict_row(
    verdict_id: str, run_id: str, task: str, challenger_id: str, **values: Any
) -> Verdict:
    """Return a verdict without a policy."""
    made_up: dict[str, Any] = {"reason": "", "policy_text": "", "policy_sha256": ""}
    return Verdict(
        id=verdict_id, run_id=run_id, task=task, challenger_id=challenger_id, **made_up | values
    )
