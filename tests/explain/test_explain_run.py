"""The step ``explain``: overlays of the answers that a report shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import func, insert, select

from tests.factories.blobs import blob_arrays, tiny_recipe
from tests.factories.rows import model_row, run_row
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.predictions import write_predictions
from tumorml.explain.explain_run import explain_run
from tumorml.explain.shown_answers import most_confident_errors
from tumorml.labels import LABELS, Task
from tumorml.models.artifact import save_model
from tumorml.models.model_versions import put_model
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.recipes.networks.build_network import build_network
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Artifact, Batch, Prediction, Run, Scan, Snapshot, SnapshotScan
from tumorml.scans.images.decode import encode_png
from tumorml.settings import Settings

COUNT = 60


def evaluated_run(settings: Settings, folder: Path, wrong: np.ndarray) -> tuple[str, str]:
    """Add an evaluated run of an untrained network on blobs; returns run and model version."""
    recipe = tiny_recipe(input_size=64)
    save_model(build_network(recipe, 2, seed=1), folder, task=Task.BINARY, recipe=recipe)
    stored = put_model(settings, folder)
    images, truth, _ = blob_arrays(COUNT, 64, seed=4)
    scans = [f"{number:064x}" for number in range(COUNT)]
    for scan, image in zip(scans, images, strict=True):
        object_store(settings).write(scan_key(scan), encode_png(image))
    with write_session(settings) as session:
        session.add(Batch(id="b", drop_name="b", fingerprint="", state="ingested"))
        session.add(Snapshot(id="s", task="binary", counts={}, held_out={}, object_key=""))
        session.flush()
        numbers = {"mean": 1, "deviation": 1, "entropy": 1, "foreground_share": 1}
        columns = {"width": 64, "height": 64, "object_key": "", "batch_id": "b", **numbers}
        session.execute(insert(Scan), [{"id": scan, **columns} for scan in scans])
        session.execute(
            insert(SnapshotScan),
            [
                {"snapshot_id": "s", "scan_id": scan, "split": "test", "label": label,
                 "group_id": f"g{number // 3}", "masked": False}
                for number, (scan, label) in enumerate(
                    zip(scans, (LABELS[Task.BINARY][index] for index in truth), strict=True)
                )
            ],
        )  # fmt: skip
        session.add(run_row("r", "binary", "s", state="evaluated"))
        session.flush()
        session.add(
            model_row(
                stored.id, "r", "binary", labels=list(LABELS[Task.BINARY]), input_size=64,
                object_key=stored.object_key, sha256=stored.sha256,
                description_sha256=stored.description_sha256,
            )
        )  # fmt: skip
        session.flush()
        predicted = np.where(wrong, 1 - truth, truth)
        confidence = np.linspace(0.5, 0.99, COUNT)
        probabilities = np.where(
            np.arange(2) == predicted[:, None], confidence[:, None], 1 - confidence[:, None]
        )
        write_predictions(
            session,
            Answers(scans, LABELS[Task.BINARY], probabilities, predicted, truth),
            task=Task.BINARY, model_version_id=stored.id, run_id="r", source="evaluation",
            created_at=datetime(2026, 5, 3, tzinfo=UTC),
        )  # fmt: skip
    return "r", stored.id


def test_only_answers_shown_in_the_report_get_overlays(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"heatmaps_of_errors": 7, "heatmaps_per_label": 2})
    run_id, model = evaluated_run(settings, tmp_path, wrong=np.arange(COUNT) % 5 > 0)
    for _ in range(2):
        assert explain_run(settings, run_id) == 7 + 2 * 2
    with read_session(settings) as session:
        run = session.get_one(Run, run_id)
        errors = session.execute(most_confident_errors(run, model, COUNT)).all()
        drawn = session.scalars(select(Prediction).where(Prediction.heatmap_key.is_not(None))).all()
        kinds = dict(
            session.execute(select(Artifact.kind, func.count()).group_by(Artifact.kind)).all()
        )
    assert len(errors) == COUNT * 4 / 5
    assert [row.heatmap_key is not None for row in errors] == [n < 7 for n in range(len(errors))]
    assert {row.label for row in errors[:7]} == {"no_tumor"}
    assert kinds == {"heatmap": 11, "feature_maps": 2}
    right = [row for row in drawn if row.label == row.true_label]
    assert sorted(row.label for row in right) == sorted(2 * LABELS[Task.BINARY])
    for row in drawn:
        assert row.heatmap_key == f"runs/r/heatmaps/{row.scan_id}.png"
        assert object_store(settings).read(row.heatmap_key).startswith(b"\x89PNG")


def test_run_without_answers_has_no_overlays(settings: Settings, tmp_path: Path) -> None:
    run_id, _ = evaluated_run(settings, tmp_path, wrong=np.zeros(COUNT, bool))
    with write_session(settings) as session:
        for row in session.scalars(select(Prediction)):
            session.delete(row)
    assert explain_run(settings, run_id) == 0
