"""Training learns, keeps its best weights, and survives being killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras  # noqa: TID253
import numpy as np
import pytest
import tensorflow as tf  # noqa: TID253

from tests.factories.blobs import blobs, tiny_recipe
from tumorml.errors import TooLittleMemoryError, TumorMLError
from tumorml.labels import Task
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.recipe import Recipe
from tumorml.recipes.sections import Augmentation, Optimizer, Regularization
from tumorml.training.checkpoints.checkpoint import (
    EpochRecord,
    finished_epochs,
    load_checkpoint,
    save_checkpoint,
)
from tumorml.training.fitting import compile_phase
from tumorml.training.fitting import fit as fit_module
from tumorml.training.fitting.fit import fit, learning_rates
from tumorml.training.fitting.fused_adam import FusedAdam
from tumorml.training.fitting.labelled_images import LabelledImages
from tumorml.training.fitting.learning_rates import EpochRates

TRAIN, VALIDATION = blobs(40, 32, seed=1)[0], blobs(16, 32, seed=2)[0]
EPOCHS = 5


def train(
    folder: Path,
    recipe: Recipe | None = None,
    *,
    stop_after: int = 0,
    seed: int = 7,
    strategy: object = None,
) -> tuple[keras.Model, list[EpochRecord]]:
    records: list[EpochRecord] = []

    def on_epoch(record: EpochRecord) -> None:
        records.append(record)
        if record.epoch == stop_after:
            raise KeyboardInterrupt

    model = fit(
        recipe or tiny_recipe(),
        Task.BINARY,
        TRAIN,
        VALIDATION,
        checkpoint_dir=folder,
        seed=seed,
        on_epoch=on_epoch,
        strategy=strategy,
    )
    return model, records


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return train(folder)[0], folder


def validation_loss(model: keras.Model) -> float:
    logits = model.predict(VALIDATION.images.astype(np.float32)[..., None], verbose=0)[:, 0]
    return float(np.mean(np.logaddexp(0, np.where(VALIDATION.labels == 1, -logits, logits))))


def assert_same_training(
    uninterrupted: tuple[keras.Model, Path], model: keras.Model, folder: Path
) -> None:
    expected, records = finished_epochs(uninterrupted[1]), finished_epochs(folder)
    assert [record.epoch for record in records] == list(range(1, EPOCHS + 1))
    assert [record.validation_loss for record in records] == [
        record.validation_loss for record in expected
    ]
    for ours, theirs in zip(model.get_weights(), uninterrupted[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("stop_after", [1, 2, 4], ids=["in a phase", "between phases", "later"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    stop_after: int, uninterrupted: tuple[keras.Model, Path], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_after=stop_after)
    model, records = train(tmp_path)
    assert [record.epoch for record in records] == list(range(stop_after + 1, EPOCHS + 1))
    assert_same_training(uninterrupted, model, tmp_path)


CHILD = """
import os, signal, sys
from pathlib import Path
from tests.training.fitting.test_fit import train
from tumorml.training.checkpoints import checkpoint

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "write":
    written, whole = [], checkpoint._save_arrays
    def save(file, arrays):
        written.append(file.name)
        if sum("checkpoint" in name for name in written) == 3:
            file.write(b"half of a checkpoint")
            file.flush()
            die()
        whole(file, arrays)
    checkpoint._save_arrays = save
else:
    from tumorml.training.fitting import input_pipeline
    original = input_pipeline.vary
    import tensorflow as tf
    def vary(pixels, chosen, *how):
        images = original(pixels, chosen, *how)
        if len(checkpoint.finished_epochs(Path(sys.argv[1]))) == 2:
            tf.numpy_function(lambda rows: die() if rows[0] else None, [chosen], [])
        return images
    input_pipeline.vary = vary
train(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", ["write", "epoch"])
def test_a_training_killed_in_the_middle_goes_on_behind_its_last_finished_epoch(
    moment: str, uninterrupted: tuple[keras.Model, Path], tmp_path: Path
) -> None:
    child = [sys.executable, "-c", CHILD, str(tmp_path), moment]
    root = Path(__file__).parents[3]
    assert subprocess.run(child, cwd=root, check=False).returncode == -signal.SIGKILL
    assert len(finished_epochs(tmp_path)) == 2
    model, records = train(tmp_path)
    assert [record.epoch for record in records] == [3, 4, 5]
    assert_same_training(uninterrupted, model, tmp_path)
    assert not list(tmp_path.glob("*.part"))


SLOW_CHILD = """
import sys, time
from pathlib import Path
from tests.training.fitting.test_fit import train
from tumorml.training.checkpoints import checkpoint
from tumorml.training.fitting import input_pipeline
from tumorml.training.end_on_sigterm import end_on_sigterm
import signal
import tensorflow as tf

signal.signal(signal.SIGTERM, lambda *_: None)  # as Airflow's task runner has one
original = input_pipeline.vary
def vary(*what):
    if len(checkpoint.finished_epochs(Path(sys.argv[1]))) == 2:
        # Python's own handlers wait until such a step has ended.
        tf.py_function(lambda: print("in the third epoch", flush=True) or time.sleep(60), [], [])
    return original(*what)
input_pipeline.vary = vary
with end_on_sigterm("again"):
    train(Path(sys.argv[1]))
"""


def test_a_training_that_is_told_to_stop_stops_soon_and_goes_on_later(
    uninterrupted: tuple[keras.Model, Path], tmp_path: Path
) -> None:
    child = [sys.executable, "-c", SLOW_CHILD, str(tmp_path)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(child, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "third epoch" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
    model, records = train(tmp_path)
    assert [record.epoch for record in records] == [3, 4, 5]
    assert_same_training(uninterrupted, model, tmp_path)


def test_a_checkpoint_carries_all_that_decides_what_comes_next(tmp_path: Path) -> None:
    train(tmp_path, stop_after=0)
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    progress = replace(
        saved.progress, rate_share=0.3, epochs_since_gain=2, epochs_since_reduction=1, stopped=True
    )
    save_checkpoint(tmp_path, replace(saved, progress=progress))
    again = load_checkpoint(tmp_path)
    assert again is not None and again.progress == progress


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": Augmentation()},
        {"class_balance": "none"},
        {"label_smoothing": 0.2},
        {"dropout": 0.0},
        {"optimizer": Optimizer(name="adamw", weight_decay=0.1)},
        {"regularization": Regularization(l2=0.01)},
        {"network": "batchnorm-cnn", "batch_normalization": "keep"},
    ],
    ids=lambda changes: list(changes)[-1],
)
def test_each_key_of_a_recipe_changes_its_training(changes: dict[str, Any], tmp_path: Path) -> None:
    (phase, _) = tiny_recipe().phases
    once = tiny_recipe(
        phases=(phase.model_copy(update={"epochs": 1}),),
        optimizer=Optimizer(name="adamw", weight_decay=0.0),
        network=changes.get("network", "baseline-cnn"),
    )
    uneven = LabelledImages(TRAIN.images[:28], np.sort(TRAIN.labels)[:28])
    first, second = (
        fit(
            recipe,
            Task.BINARY,
            uneven,
            VALIDATION,
            checkpoint_dir=tmp_path / name,
            seed=7,
            on_epoch=lambda record: None,
        ).get_weights()
        for name, recipe in (("as it is", once), ("changed", once.model_copy(update=changes)))
    )
    assert any(np.any(ours != theirs) for ours, theirs in zip(first, second, strict=True))


def test_each_epoch_has_an_order_and_variations_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    batches = fit_module.training_batches

    def listen(*data: Any, epoch: int, **options: Any) -> tf.data.Dataset:
        asked.append(epoch)
        return batches(*data, epoch=epoch, **options)

    monkeypatch.setattr(fit_module, "training_batches", listen)
    train(tmp_path)
    assert asked == [1, 2, 3, 4, 5]


def test_weights_decay_and_biases_do_not(tmp_path: Path) -> None:
    recipe = tiny_recipe(optimizer=Optimizer(name="adamw", weight_decay=0.1))
    network = build_network(recipe, 2, seed=1)
    for variable in network.trainable_variables:
        variable.assign(np.ones(variable.shape, np.float32))
    rates = compile_phase.compile_phase(network, recipe, recipe.phases[0], steps=1)
    rates.follow(np.array([0.5]), first=0)
    network.optimizer.apply([np.zeros(v.shape, np.float32) for v in network.trainable_variables])
    for variable in network.trainable_variables:
        expected = 1.0 if variable.name == "bias" else 1.0 - 0.5 * 0.1
        np.testing.assert_allclose(np.asarray(variable), expected, rtol=1e-6)


TWO_DEVICES = """
import sys
from pathlib import Path
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.factories.blobs import tiny_recipe
from tests.training.fitting.test_fit import train
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
recipe = tiny_recipe(dropout=0.0, network=sys.argv[2])
train(Path(sys.argv[1]), recipe, strategy=strategy)
"""


@pytest.mark.parametrize(
    ("network", "tolerance"),
    [("baseline-cnn", 1e-3), ("batchnorm-cnn", 0.5)],  # each device normalises its own half
)
def test_two_devices_share_each_batch_and_come_to_the_same_network(
    network: str, tolerance: float, tmp_path: Path
) -> None:
    child = [sys.executable, "-c", TWO_DEVICES, str(tmp_path / "two"), network]
    subprocess.run(child, cwd=Path(__file__).parents[3], check=True)
    train(tmp_path / "one", tiny_recipe(dropout=0.0, network=network))
    losses, expected = (
        [record.validation_loss for record in finished_epochs(tmp_path / folder)]
        for folder in ("two", "one")
    )
    assert len(losses) == EPOCHS
    np.testing.assert_allclose(losses, expected, rtol=tolerance)


@pytest.mark.parametrize("options", [{"precision": "mixed_bfloat16"}, {"xla": True}])
def test_half_precision_and_xla_learn_what_the_plain_way_learns(
    options: dict[str, object],
    uninterrupted: tuple[keras.Model, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compile_phase, "_xla_helps", lambda: True)
    train(tmp_path, tiny_recipe(**options))
    losses, expected = (
        [record.validation_loss for record in finished_epochs(folder)]
        for folder in (tmp_path, uninterrupted[1])
    )
    np.testing.assert_allclose(losses, expected, rtol=0.2)


def test_accuracy_counts_blended_scans_by_their_larger_share() -> None:
    rightly = compile_phase._called_rightly(
        tf.constant([[0.9], [0.9], [0.2], [0.0]]), tf.constant([[3.0], [-3.0], [-1.0], [1.0]])
    )
    np.testing.assert_array_equal(rightly, [1, 0, 1, 0])


def test_xla_is_not_followed_on_a_cpu() -> None:
    network = build_network(tiny_recipe(xla=True), 2, seed=1)
    recipe = tiny_recipe(xla=True)
    compile_phase.compile_phase(network, recipe, recipe.phases[0], steps=1)
    assert not network.jit_compile


def test_too_little_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    monkeypatch.setattr(keras.Model, "fit", exhausted)
    with pytest.raises(TooLittleMemoryError, match="lower its batch_size"):
        train(tmp_path)


def test_loss_scaling_survives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(precision="mixed_float16")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe, stop_after=3)
    compiled: list[keras.optimizers.Optimizer] = []
    compile_for = fit_module.compile_phase

    def listen(network: keras.Model, *of: Any) -> EpochRates:
        rates = compile_for(network, *of)
        compiled.append(network.optimizer)
        return rates

    monkeypatch.setattr(fit_module, "compile_phase", listen)
    _, records = train(tmp_path, recipe)
    assert all(isinstance(o, keras.optimizers.LossScaleOptimizer) for o in compiled) and compiled
    assert [record.epoch for record in records] == [4, 5]
    assert records[-1].learning_rate > 0


def test_the_same_seed_gives_the_same_numbers(
    uninterrupted: tuple[keras.Model, Path], tmp_path: Path
) -> None:
    model, records = train(tmp_path)
    assert [r.validation_loss for r in records] == [
        r.validation_loss for r in finished_epochs(uninterrupted[1])
    ]
    for ours, theirs in zip(model.get_weights(), uninterrupted[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_recipe_that_wants_weights_is_not_trained_from_random_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not start from random weights"):
        train(tmp_path, tiny_recipe(weights="imagenet"))


def test_a_finished_training_answers_at_once_with_the_same_model(
    uninterrupted: tuple[keras.Model, Path],
) -> None:
    model, records = train(uninterrupted[1])
    assert records == []
    for ours, theirs in zip(model.get_weights(), uninterrupted[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_weights_of_the_least_validation_loss_are_returned_and_kept(
    uninterrupted: tuple[keras.Model, Path],
) -> None:
    model, folder = uninterrupted
    best = min(finished_epochs(folder), key=lambda record: record.validation_loss)
    assert validation_loss(model) == pytest.approx(best.validation_loss, rel=1e-3)
    assert [path.name for path in folder.glob("best-*")] == [f"best-{best.epoch:04d}.npz"]


def test_the_weights_of_the_last_epoch_are_returned_where_the_recipe_keeps_them(
    tmp_path: Path,
) -> None:
    learns, forgets = (
        tiny_recipe().phases[0].model_copy(update={"epochs": epochs, "learning_rate": rate})
        for epochs, rate in ((3, 1e-3), (1, 1.0))
    )
    recipe = tiny_recipe(phases=(learns, forgets), kept_epoch="last", early_stopping_patience=None)
    model, records = train(tmp_path, recipe)
    assert records[-1].validation_loss > min(record.validation_loss for record in records)
    assert validation_loss(model) == pytest.approx(records[-1].validation_loss, rel=1e-3)
    assert not list(tmp_path.glob("best-*"))
    again, _ = train(tmp_path, recipe)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("scaled", [False, True])
def test_each_step_finds_its_rate_also_where_steps_were_skipped(scaled: bool) -> None:
    rates = EpochRates(3)
    optimizer = inner = FusedAdam(rates)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(inner)
    variable = keras.Variable(np.zeros(2, np.float32))
    optimizer.build([variable])
    for epoch in ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]):
        rates.follow(np.array(epoch), int(optimizer.iterations))
        if scaled:
            optimizer.apply([tf.constant([np.inf, 0.0])])
        found = []
        for _ in epoch[scaled:]:
            found.append(float(inner.learning_rate))
            optimizer.apply([tf.ones(2)])
        np.testing.assert_allclose(found, epoch[: len(found)], rtol=1e-6)


def test_many_steps_at_once_learn_what_one_by_one_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(batch_size=4)  # ten steps
    at_once, _ = train(tmp_path / "at once", recipe)
    monkeypatch.setattr(compile_phase, "STEPS_AT_ONCE", 1)
    one_by_one, _ = train(tmp_path / "one by one", recipe)
    for ours, theirs in zip(at_once.get_weights(), one_by_one.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_regularisation_adds_is_no_part_of_the_validation_loss(tmp_path: Path) -> None:
    recipe = tiny_recipe(regularization=Regularization(l1=1e-4, l2=0.01))
    model, records = train(tmp_path, recipe)
    assert len(model.losses) == len(model.layers[-1].losses) + 4  # three convolutions, one dense
    best = min(records, key=lambda record: record.validation_loss)
    assert float(sum(model.losses)) > 0.1
    assert validation_loss(model) == pytest.approx(best.validation_loss, rel=1e-3)


def test_every_epoch_is_told_with_its_phase_and_figures(
    uninterrupted: tuple[keras.Model, Path],
) -> None:
    records = finished_epochs(uninterrupted[1])
    assert [record.phase for record in records] == ["first"] * 2 + ["second"] * 3
    assert {record.epochs for record in records} == {EPOCHS}
    rates = [record.learning_rate for record in records]
    assert rates[:2] == pytest.approx([1e-3, 1e-3])
    assert rates[2] > rates[3] > rates[4]
    assert all(record.seconds > 0 and record.peak_memory_bytes > 10**8 for record in records)


def test_another_trainings_checkpoint_is_not_resumed(
    uninterrupted: tuple[keras.Model, Path],
) -> None:
    with pytest.raises(TumorMLError, match="another training"):
        train(uninterrupted[1], seed=8)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(TumorMLError, match="cannot be read"):
        train(tmp_path)


def test_a_loss_that_is_not_finite_ends_the_training_without_a_checkpoint(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    phases = tuple(phase.model_copy(update={"learning_rate": 1e30}) for phase in recipe.phases)
    with pytest.raises(TumorMLError, match="broke down in epoch 1"):
        train(tmp_path, recipe.model_copy(update={"phases": phases}))
    assert load_checkpoint(tmp_path) is None


def test_early_stopping_ends_the_last_phase_and_the_plateau_lowers_the_rate(
    tmp_path: Path,
) -> None:
    recipe = tiny_recipe(early_stopping_patience=3).with_epochs(40)
    plateau = recipe.reduce_on_plateau
    assert plateau is not None
    # A rate this high makes the very first epochs the best ones.
    phases = tuple(
        phase.model_copy(update={"learning_rate": 0.5, "schedule": "constant", "epochs": epochs})
        for phase, epochs in zip(recipe.phases, (1, 30), strict=True)
    )
    update = {"phases": phases, "reduce_on_plateau": plateau.model_copy(update={"patience": 1})}
    _, records = train(tmp_path, recipe.model_copy(update=update))
    best = min(records, key=lambda record: record.validation_loss).epoch
    assert len(records) == max(best, 1) + 3 < 31
    assert records[-1].learning_rate < records[-3].learning_rate <= 0.5


def test_head_phases_leave_the_backbone_alone(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    phases = tuple(phase.model_copy(update={"trainable": "head"}) for phase in recipe.phases)
    frozen = recipe.model_copy(update={"phases": phases[:1]})
    before, _ = train(tmp_path / "a", frozen.with_epochs(1))
    after, _ = train(tmp_path / "b", frozen.with_epochs(2))
    changed = {
        layer.name
        for layer, other in zip(before.layers, after.layers, strict=True)
        for a, b in zip(layer.get_weights(), other.get_weights(), strict=True)
        if not np.array_equal(a, b)
    }
    assert changed == {"dense", "logits"}


def test_a_training_can_start_from_a_saved_model(tmp_path: Path) -> None:
    model, _ = train(tmp_path / "first")
    model.save(tmp_path / "model.keras")
    records: list[EpochRecord] = []
    recipe = tiny_recipe().with_epochs(1)
    options = {"seed": 9, "on_epoch": records.append}
    for folder, start in (("cold", None), ("warm", tmp_path / "model.keras")):
        fit(
            recipe,
            Task.BINARY,
            TRAIN,
            VALIDATION,
            checkpoint_dir=tmp_path / folder,
            initial_weights=start,
            **options,
        )
    cold, warm = records
    assert warm.validation_loss < cold.validation_loss


def test_the_rate_warms_up_and_then_follows_the_cosine_to_nearly_zero() -> None:
    phase = tiny_recipe().phases[1].model_copy(update={"warmup_epochs": 1.0, "epochs": 4})
    rates = np.concatenate([learning_rates(phase, epoch, 10) for epoch in range(4)])
    assert np.argmax(rates) == 9
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[9:]) < 0)
    assert rates[-1] < 0.01 * phase.learning_rate
