"""Hyperparameter search for a recipe, on training and validation scans only.

The search is an Optuna study in the results store (schema ``tuning``), so it can be inspected while
it runs and resumed after it was stopped. Test scans are never used, because a model of the tuned
recipe is judged on them like any other challenger.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tumorml.datasets.pixels import split_pixels
from tumorml.datasets.snapshots import SnapshotEntry, check_no_leak, read_snapshot
from tumorml.errors import DivergedTrainingError, TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.models.files import sha256_of
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.recipe import Recipe
from tumorml.results.session import session_lock, writer_url
from tumorml.settings import Settings
from tumorml.training.end_on_sigterm import end_on_sigterm
from tumorml.training.search_space import recipe_values, suggest_variant
from tumorml.training.train_model import train_model

if TYPE_CHECKING:
    import optuna

    from tumorml.training.checkpoints.checkpoint import EpochRecord

logger = logging.getLogger(__name__)

SCHEMA = "tuning"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class TuningResult:
    """The result of a study.

    Attributes:
        study: Name of the study.
        trials: Number of finished trials.
        log_loss: Lowest log-loss on validation scans after calibration.
        is_unchanged: Whether the best values are those of the original recipe.
        text: The recipe with the best values, as TOML.
    """

    study: str
    trials: int
    log_loss: float
    is_unchanged: bool
    text: str


def tune_recipe(
    settings: Settings,
    recipe: Recipe,
    task: Task,
    snapshot_id: str,
    *,
    trials: int,
    seed: int,
    epochs: int | None = None,
    on_trial: Callable[[int], None],
) -> TuningResult:
    """Train variants of a recipe until the study has the given number of trials.

    There is one study for each recipe, weights file, number of epochs, task, snapshot and seed.
    Interrupted trials are resumed first, from their last finished epoch. Clearly worse trials are
    pruned (stopped early).

    Args:
        settings: The settings.
        recipe: The recipe; its network, input size and phases do not change.
        task: The task.
        snapshot_id: Snapshot whose training and validation scans are used.
        trials: Total number of finished trials, including those of earlier calls.
        seed: Seed of every training and of the search.
        epochs: Epochs of each trial; None for those of the recipe. The tuned recipe always has the
            recipe's own epochs.
        on_trial: Called with the number of finished trials after each one.

    Raises:
        TumorMLError: A training failed, or all trials were pruned.
    """
    import optuna

    trial_recipe = recipe if epochs is None else recipe.with_epochs(epochs)
    weights = find_weights(recipe, settings.weights_folder)
    start = sha256_of(weights)[:8] if weights else "random"
    name = f"{recipe.name} {trial_recipe.digest[:8]} from {start}, {task} {snapshot_id} seed {seed}"
    entries = read_snapshot(settings, snapshot_id)
    check_no_leak(entries)
    entries = [entry for entry in entries if entry.split != "test"]
    optuna.logging.disable_default_handler()
    with session_lock(settings, f"tuner of {name}"):
        study = optuna.create_study(
            study_name=name,
            storage=_storage(settings),
            direction="minimize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
        )
        if not study.trials:
            study.enqueue_trial(recipe_values(recipe))
        _enqueue_interrupted_trials(study)
        logger.info(
            "study %s: %s of %s trials are finished", name, _count_finished_trials(study), trials
        )
        while (finished := _count_finished_trials(study)) < trials:
            # A sampler with the same seed in each call would draw the same values again.
            study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, len(study.trials)))
            with end_on_sigterm("run the same command again to resume"):
                study.optimize(
                    lambda trial: _log_loss(
                        settings,
                        suggest_variant(trial_recipe, trial),
                        task,
                        entries,
                        seed=seed,
                        trial=trial,
                        folder=settings.home / "tuning" / _folder(name, trial),
                    ),
                    n_trials=1,
                )
            on_trial(finished + 1)
    if not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        raise TumorMLError(
            f"All {finished} trials of study {name!r} were pruned. Correct the "
            "values in the recipe, or raise the number of trials."
        )
    best = suggest_variant(recipe, optuna.trial.FixedTrial(study.best_params))
    best = best.with_fields(name=f"{recipe.name}-tuned")
    header = (
        f"# Found by {finished} trials of {trial_recipe.epochs} epochs from {recipe.name},\n"
        f"# {task}, snapshot {snapshot_id}: log-loss {study.best_value:.4f} on validation.\n"
    )
    is_unchanged = study.best_params == recipe_values(recipe)
    return TuningResult(name, finished, study.best_value, is_unchanged, header + best.text)


def _seed(seed: int, trials: int) -> int:
    return int(np.random.SeedSequence([seed, trials]).generate_state(1)[0])


def _folder(study: str, trial: optuna.trial.Trial) -> str:
    """Return a folder name that depends on study and values, so that a trial can be resumed."""
    numbers = json.dumps([study, trial.params], sort_keys=True)
    return hashlib.sha256(numbers.encode()).hexdigest()[:16]


def _enqueue_interrupted_trials(study: optuna.Study) -> None:
    """Enqueue trials that were stopped or killed.

    This process holds the lock of the study, so no other one is running a trial.
    """
    import optuna

    trials = study.get_trials(deepcopy=False)
    requested_values = [trial.system_attrs.get("fixed_params", trial.params) for trial in trials]
    for trial in trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        elif trial.state != optuna.trial.TrialState.FAIL:
            continue
        # A trial that fails every time must not block the search.
        is_requested_later = trial.params in requested_values[trial.number + 1 :]
        if not is_requested_later and requested_values.count(trial.params) < _TRIES:
            study.enqueue_trial(trial.params)


def _log_loss(
    settings: Settings,
    recipe: Recipe,
    task: Task,
    entries: list[SnapshotEntry],
    *,
    seed: int,
    trial: optuna.trial.Trial,
    folder: Path,
) -> float:
    """Train a variant and return its log-loss on validation scans after calibration.

    Raises:
        TrialPruned: The trial is clearly worse than others, or its training diverged.
    """
    import optuna

    def report(record: EpochRecord) -> None:
        logger.info(
            "trial %s epoch %s/%s: validation accuracy %.3f",
            trial.number,
            record.epoch,
            record.epochs,
            record.validation_accuracy,
        )
        trial.report(1.0 - record.validation_accuracy, record.epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        predictor = train_model(
            settings,
            recipe,
            task,
            entries,
            seed=seed,
            min_sensitivity=0.0,
            checkpoints=folder,
            on_epoch=report,
        ).predictor
    except optuna.TrialPruned:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except DivergedTrainingError as error:
        logger.warning("trial %s is pruned: %s", trial.number, error)
        shutil.rmtree(folder, ignore_errors=True)
        raise optuna.TrialPruned from error
    shutil.rmtree(folder, ignore_errors=True)
    validation = split_pixels(
        settings, entries, "validation", labels=LABELS[task], size=recipe.input_size
    )
    probabilities = predictor.predict(validation.images)
    true_probabilities = probabilities[np.arange(len(validation.labels)), validation.labels]
    return float(-np.log(np.maximum(true_probabilities, 1e-12)).mean())


def _count_finished_trials(study: optuna.Study) -> int:
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


def _storage(settings: Settings) -> optuna.storages.RDBStorage:
    """Return the storage of Optuna's tables in their own schema."""
    import optuna

    return optuna.storages.RDBStorage(
        writer_url(settings),
        engine_kwargs={"connect_args": {"options": f"-c search_path={SCHEMA}"}},
    )
