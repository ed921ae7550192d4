"""Resumption of interrupted and killed trainings."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories.blob_training import (
    EPOCHS,
    BlobTraining,
    assert_same_training,
    assert_same_weights,
    train_blobs,
)
from tests.factories.blobs import tiny_recipe
from tumorml.errors import TumorMLError
from tumorml.training.checkpoints.checkpoint import (
    finished_epochs,
    load_checkpoint,
    save_checkpoint,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "stop_after", [1, 2, 4], ids=["in the first phase", "between phases", "in the second phase"]
)
def test_interrupted_training_ends_like_an_uninterrupted_one(
    stop_after: int, blob_training: BlobTraining, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_blobs(tmp_path, stop_after=stop_after)
    model, records = train_blobs(tmp_path)
    assert [record.epoch for record in records] == list(range(stop_after + 1, EPOCHS + 1))
    assert_same_training(BlobTraining(model, tmp_path), blob_training)


KILLED_CHILD = """
import os, signal, sys
from pathlib import Path
from tests.factories.blob_training import train_blobs
from tumorml.training.checkpoints import checkpoint

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "while writing the third checkpoint":
    checkpoints = []
    write_atomically = checkpoint.write_atomically

    def write_half(path, content):
        if path.name == "checkpoint.npz":
            checkpoints.append(path)
        if len(checkpoints) == 3:
            def content(file):
                file.write(b"half of a checkpoint")
                file.flush()
                die()
        write_atomically(path, content)

    checkpoint.write_atomically = write_half
else:
    from tumorml.training.fitting import input_pipeline
    import tensorflow as tf

    augment = input_pipeline.augment

    def augment_or_die(pixels, chosen, *arguments):
        images = augment(pixels, chosen, *arguments)
        if len(checkpoint.finished_epochs(Path(sys.argv[1]))) == 2:
            tf.numpy_function(lambda rows: die() if rows[0] else None, [chosen], [])
        return images

    input_pipeline.augment = augment_or_die
train_blobs(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", ["while writing the third checkpoint", "in the third epoch"])
def test_killed_training_resumes_after_its_last_finished_epoch(
    moment: str, blob_training: BlobTraining, tmp_path: Path
) -> None:
    child = [sys.executable, "-c", KILLED_CHILD, str(tmp_path), moment]
    assert subprocess.run(child, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert len(finished_epochs(tmp_path)) == 2
    model, records = train_blobs(tmp_path)
    assert [record.epoch for record in records] == [3, 4, 5]
    assert_same_training(BlobTraining(model, tmp_path), blob_training)
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in blob_training.folder.iterdir()
    }


SLOW_CHILD = """
import signal, sys, time
from pathlib import Path
import tensorflow as tf
from tests.factories.blob_training import train_blobs
from tumorml.training.checkpoints import checkpoint
from tumorml.training.end_on_sigterm import end_on_sigterm
from tumorml.training.fitting import input_pipeline

signal.signal(signal.SIGTERM, lambda *_: None)  # Airflow's task runner has such a handler
augment = input_pipeline.augment

def augment_slowly(*arguments):
    if len(checkpoint.finished_epochs(Path(sys.argv[1]))) == 2:
        # Python runs its signal handlers only after such a step.
        tf.py_function(lambda: print("in the third epoch", flush=True) or time.sleep(60), [], [])
    return augment(*arguments)

input_pipeline.augment = augment_slowly
with end_on_sigterm("run it again"):
    train_blobs(Path(sys.argv[1]))
"""


def test_sigterm_ends_a_training_promptly_and_it_resumes(
    blob_training: BlobTraining, tmp_path: Path
) -> None:
    child = [sys.executable, "-c", SLOW_CHILD, str(tmp_path)]
    with subprocess.Popen(child, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "third epoch" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
    model, records = train_blobs(tmp_path)
    assert [record.epoch for record in records] == [3, 4, 5]
    assert_same_training(BlobTraining(model, tmp_path), blob_training)


def test_finished_training_returns_its_model_without_training(blob_training: BlobTraining) -> None:
    model, records = train_blobs(blob_training.folder)
    assert records == []
    assert_same_weights(model, blob_training.model)


def test_checkpoint_keeps_the_state_of_the_training(
    blob_training: BlobTraining, tmp_path: Path
) -> None:
    saved = load_checkpoint(blob_training.folder)
    assert saved is not None
    progress = replace(
        saved.progress, rate_share=0.3, epochs_since_gain=2, epochs_since_reduction=1, stopped=True
    )
    save_checkpoint(tmp_path, replace(saved, progress=progress))
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.progress == progress


def test_loss_scaling_continues_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from tumorml.training.fitting import fit as fit_module
    from tumorml.training.fitting.compile_phase import compile_phase

    recipe = tiny_recipe(precision="mixed_float16")
    with pytest.raises(KeyboardInterrupt):
        train_blobs(tmp_path, recipe, stop_after=3)
    optimizers: list[keras.optimizers.Optimizer] = []

    def record_optimizer(network: keras.Model, *arguments: Any) -> Any:
        rates = compile_phase(network, *arguments)
        optimizers.append(network.optimizer)
        return rates

    monkeypatch.setattr(fit_module, "compile_phase", record_optimizer)
    _, records = train_blobs(tmp_path, recipe)
    assert [type(optimizer).__name__ for optimizer in optimizers] == ["LossScaleOptimizer"]
    assert [record.epoch for record in records] == [4, 5]
    assert records[-1].learning_rate > 0


def test_checkpoint_of_another_training_is_not_resumed(blob_training: BlobTraining) -> None:
    with pytest.raises(TumorMLError, match="has a checkpoint of another training"):
        train_blobs(blob_training.folder, seed=8)


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(TumorMLError, match=r"checkpoint\.npz cannot be read"):
        train_blobs(tmp_path)
