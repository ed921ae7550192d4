"""Verdicts about six challengers that are trained on real scans by the steps of the service.

Needs the Kaggle "Brain Tumor MRI Dataset", which is not in this repository; TUMORML_KAGGLE_ZIP is
the path of its zip. Prints the verdicts and their rules, which ``pytest -s`` shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sqlalchemy import select, text

from tests.factories.runs import damage_model
from tumorml.datasets.snapshots import SnapshotEntry, read_snapshot, take_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.evaluate_run import evaluate_run
from tumorml.labels import Task
from tumorml.promotion.champion import champions_by_task
from tumorml.promotion.judge_run import judge_run
from tumorml.promotion.promote import promote
from tumorml.results.bulk import copy_rows
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import ModelVersion, Snapshot, SnapshotScan, Verdict
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import PROJECT_ROOT, Settings
from tumorml.training import train_run as training
from tumorml.training.plan_run import plan_run

ARCHIVE = os.environ.get("TUMORML_KAGGLE_ZIP", "")
TASK = Task.FOUR_CLASS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(
        not Path(ARCHIVE).is_file(),
        reason="TUMORML_KAGGLE_ZIP does not name the zip of the Brain Tumor MRI Dataset",
    ),
]

SMALL = """
name = "{name}"
description = "Small enough for a test"
network = "{network}"
input_size = 96
weights = "{weights}"
class_balance = "{balance}"
[augmentation]
flip = true
[[phases]]
name = "train"
epochs = {epochs}
learning_rate = 1e-3
schedule = "cosine"
"""


def recipe(folder: Path, name: str, *, strong: bool, epochs: int, balanced: bool = True) -> str:
    path = folder / f"{name}.toml"
    path.write_text(
        SMALL.format(
            name=name,
            network="efficientnet-lite0" if strong else "baseline-cnn",
            weights="imagenet" if strong else "none",
            balance="weights" if balanced else "none",
            epochs=epochs,
        )
    )
    return str(path)


def snapshot_of(settings: Settings, name: str, entries: Sequence[SnapshotEntry]) -> str:
    """Add a snapshot of chosen entries and return its id."""
    with write_session(settings) as session:
        session.add(Snapshot(id=name, task=TASK, counts={}, held_out={}, object_key=""))
        session.flush()
        rows = ({"snapshot_id": name, **asdict(entry)} for entry in entries)
        copy_rows(session, SnapshotScan, rows)
    return name


def verdict(settings: Settings, run_id: str, before: Callable[[str], None] | None = None) -> str:
    """Evaluate, judge and promote a trained run; ``before`` is called before it is judged."""
    evaluate_run(settings, run_id)
    with read_session(settings) as session:
        model = session.scalars(select(ModelVersion.id).where(ModelVersion.run_id == run_id)).one()
    if before is not None:
        before(model)
    outcome = promote(settings, judge_run(settings, run_id), who="test")
    with read_session(settings) as session:
        reason = select(Verdict.reason).where(Verdict.run_id == run_id)
        print(f"\n{run_id} {outcome}: {session.scalar(reason)}")
        for row in session.execute(
            text(
                "select r.rule, r.slice, r.result, r.explanation from verdict_rule r "
                "join verdict v on v.id = r.verdict_id where v.run_id = :run order by position"
            ),
            {"run": run_id},
        ):
            print("   ", *row)
    return outcome


def failed(settings: Settings) -> set[tuple[str, str]]:
    """Return rule and slice of the newest verdict's failed results."""
    with read_session(settings) as session:
        rows = session.execute(
            text(
                "select rule, slice from verdict_rule where result = 'failed' and verdict_id = "
                "(select id from verdict order by created_at desc limit 1)"
            )
        )
        return {tuple(row) for row in rows}


def test_six_challengers_get_the_expected_verdicts(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"promotion_policy": PROJECT_ROOT / "promotion.toml"})
    put_drop(settings, Path(ARCHIVE))
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)
    honest = take_snapshot(settings, TASK)
    entries = read_snapshot(settings, honest)

    def trained(name: str, snapshot: str, path: str, seed: int) -> str:
        run_id = plan_run(
            settings, snapshot, task=TASK, trigger=name, recipe=path, seed=seed, force=True
        ).run_id
        assert run_id is not None
        training.train_run(settings, run_id)
        return run_id

    def with_few(label: str, one_in: int) -> str:
        """Add a snapshot that keeps one in ``one_in`` training scans of a label."""
        of_label = [e for e in entries if e.label == label and e.split == "train"]
        few = {e.scan_id for e in of_label[::one_in]}
        kept = [e for e in entries if e not in of_label or e.scan_id in few]
        return snapshot_of(settings, f"s-few-{label}", kept)

    weak = recipe(tmp_path, "weak", strong=False, epochs=8, balanced=False)
    strong = recipe(tmp_path, "strong", strong=True, epochs=4)
    starved = recipe(tmp_path, "starved", strong=True, epochs=4, balanced=False)

    few_pituitaries = with_few("pituitary", one_in=6)
    assert verdict(settings, trained("first", few_pituitaries, weak, 1)) == "promoted"
    champion = champions_by_task(settings)[TASK]

    assert verdict(settings, trained("equal", few_pituitaries, weak, 2)) == "kept"

    blind = trained("blind to glioma", with_few("glioma", one_in=8), starved, 1)
    assert verdict(settings, blind) == "kept"
    assert ("recall_non_inferiority", "label=glioma") in failed(settings)
    assert not {("gain_f1_macro", "all"), ("gain_mcnemar", "all")} <= failed(settings)

    test = [e for e in entries if e.split == "test"]
    some = [*entries, *(replace(e, split="train") for e in test[::3])]
    smuggled = snapshot_of(settings, "s-smuggled", some)
    with pytest.raises(TumorMLError, match="groups are on two sides"):
        trained("smuggled", smuggled, strong, 1)
    with monkeypatch.context() as around:
        around.setattr(training, "_check_leaks", lambda *arguments: None)
        run_id = trained("smuggled past the check of training", smuggled, strong, 2)
    assert verdict(settings, run_id) == "rejected"
    assert ("leak_check", "all") in failed(settings)

    corrupted = trained("corrupted", honest, strong, 3)
    assert verdict(settings, corrupted, lambda model: damage_model(settings, model)) == "rejected"
    assert failed(settings) == {("golden_scans", "all")}
    assert champions_by_task(settings)[TASK] == champion

    assert verdict(settings, trained("better", honest, strong, 1)) == "promoted"
    assert champions_by_task(settings)[TASK] != champion
