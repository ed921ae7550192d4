"""Search for better numbers of a recipe, on training and validation scans alone.

A study of Optuna, kept in the results store (schema ``tuning``), so that it can be looked at while
it runs and gone on with after it was stopped. Test scans are never touched: what is found has to
win as every other challenger does.
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
from tumorml.errors import BrokenTrainingError, TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.models.files import sha256_of
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.recipe import Recipe
from tumorml.results.session import session_lock, writer_url
from tumorml.settings import Settings
from tumorml.training.end_on_sigterm import end_on_sigterm
from tumorml.training.train_model import train_model

if TYPE_CHECKING:
    import optuna

    from tumorml.training.checkpoints.checkpoint import EpochRecord

logger = logging.getLogger(__name__)

SCHEMA = "tuning"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a study has found.

    Attributes:
        study: Its name.
        trials: How many have ended.
        log_loss: The least log-loss on validation, after calibration.
        own: Whether the recipe's own numbers were those that reached it.
        text: The recipe with the numbers that reached it, as TOML.
    """

    study: str
    trials: int
    log_loss: float
    own: bool
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
) -> Tuned:
    """Try variants of a recipe until the study has so many trials.

    The study is that of the recipe, its weights, the epochs, the task, the snapshot and the seed.
    A trial that was interrupted is tried again first, from its last finished epoch. Variants that
    are clearly behind are given up early.

    Args:
        settings: Where.
        recipe: What is varied; its network, input size and phases stay.
        task: What is learnt.
        snapshot_id: Whose training and validation scans are used.
        trials: Of the study in all, those of earlier calls included.
        seed: Of every training, and of the search.
        epochs: Of each trial; None for the recipe's own, which the found recipe has in any case.
        on_trial: Told how many trials have ended.

    Raises:
        TumorMLError: Training cannot go on, or no trial was trained to its end.
    """
    import optuna

    tried = recipe if epochs is None else recipe.with_epochs(epochs)
    weights = find_weights(recipe, settings.weights_folder)
    start = sha256_of(weights)[:8] if weights else "random"
    name = f"{recipe.name} {tried.digest[:8]} from {start}, {task} {snapshot_id} seed {seed}"
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
            study.enqueue_trial(_own_numbers(recipe))
        _try_interrupted_again(study)
        logger.info("study %s: %s of %s trials have ended", name, _ended(study), trials)
        while (ended := _ended(study)) < trials:
            # A sampler that began anew with each call would draw the same again.
            study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, len(study.trials)))
            with end_on_sigterm("the same command goes on"):
                study.optimize(
                    lambda trial: _log_loss(
                        settings,
                        varied(tried, trial),
                        task,
                        entries,
                        seed=seed,
                        trial=trial,
                        folder=settings.home / "tuning" / _folder(name, trial),
                    ),
                    n_trials=1,
                )
            on_trial(ended + 1)
    if not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        raise TumorMLError(
            f"None of the {_ended(study)} trials of study {name!r} was trained to its end. Correct "
            "the recipe's numbers, or ask for more trials."
        )
    best = varied(recipe, optuna.trial.FixedTrial(study.best_params))
    best = best.with_fields(name=f"{recipe.name}-tuned")
    found = (
        f"# Found by {_ended(study)} trials of {tried.epochs} epochs from {recipe.name},\n"
        f"# {task}, snapshot {snapshot_id}: log-loss {study.best_value:.4f} on validation.\n"
    )
    own = study.best_params == _own_numbers(recipe)
    return Tuned(name, _ended(study), study.best_value, own, found + best.text)


def _seed(seed: int, trials: int) -> int:
    return int(np.random.SeedSequence([seed, trials]).generate_state(1)[0])


def _folder(study: str, trial: optuna.trial.Trial) -> str:
    """The same for the same numbers in the same study, so that they go on where they stopped."""
    numbers = json.dumps([study, trial.params], sort_keys=True)
    return hashlib.sha256(numbers.encode()).hexdigest()[:16]


def _try_interrupted_again(study: optuna.Study) -> None:
    """Nobody else works on the study, so whatever has no end was stopped or killed."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    asked = [trial.system_attrs.get("fixed_params", trial.params) for trial in trials]
    for trial in trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        elif trial.state != optuna.trial.TrialState.FAIL:
            continue
        # What stops the search every time must not stop it for ever.
        if trial.params not in asked[trial.number + 1 :] and asked.count(trial.params) < _TRIES:
            study.enqueue_trial(trial.params)


def varied(recipe: Recipe, trial: optuna.trial.BaseTrial) -> Recipe:
    """A recipe with the numbers that a trial suggests."""
    rate = trial.suggest_float("learning_rate_factor", 0.2, 5.0, log=True)
    phases, warm_phases = (
        tuple(
            phase.model_copy(update={"learning_rate": phase.learning_rate * rate})
            for phase in those
        )
        for those in (recipe.phases, recipe.warm_phases)
    )
    augmentation = recipe.augmentation.model_copy(
        update={
            "rotation_degrees": trial.suggest_float("rotation_degrees", 0.0, 30.0),
            "zoom": trial.suggest_float("zoom", 0.0, 0.3),
            "shift": trial.suggest_float("shift", 0.0, 0.15),
            "brightness": trial.suggest_float("brightness", 0.0, 0.3),
            "contrast": trial.suggest_float("contrast", 0.0, 0.4),
        }
    )
    changes: dict[str, object] = {
        "phases": phases,
        "warm_phases": warm_phases,
        "augmentation": augmentation,
        "batch_size": trial.suggest_categorical("batch_size", sorted({16, 32, recipe.batch_size})),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.15),
    }
    if recipe.optimizer.name == "adamw":
        decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
        changes["optimizer"] = recipe.optimizer.model_copy(update={"weight_decay": decay})
    return recipe.with_fields(**changes)


def _own_numbers(recipe: Recipe) -> dict[str, float | int]:
    """What the recipe says itself, for the first trial; the search keeps within its bounds."""
    own = recipe.augmentation.model_dump()
    names = ("rotation_degrees", "zoom", "shift", "brightness", "contrast")
    return {
        "learning_rate_factor": 1.0,
        **{name: own[name] for name in names},
        "batch_size": recipe.batch_size,
        "dropout": recipe.dropout,
        "label_smoothing": recipe.label_smoothing,
        **(
            {"weight_decay": max(1e-6, recipe.optimizer.weight_decay)}
            if recipe.optimizer.name == "adamw"
            else {}
        ),
    }


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
    """Train a variant; its log-loss on validation, after calibration.

    Raises:
        TrialPruned: It is clearly behind, or its training broke down.
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
    except BrokenTrainingError as error:
        logger.warning("trial %s is given up: %s", trial.number, error)
        shutil.rmtree(folder, ignore_errors=True)
        raise optuna.TrialPruned from error
    shutil.rmtree(folder, ignore_errors=True)
    validation = split_pixels(
        settings, entries, "validation", labels=LABELS[task], size=recipe.input_size
    )
    probabilities = predictor.predict(validation.images)
    right = probabilities[np.arange(len(validation.labels)), validation.labels]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def _ended(study: optuna.Study) -> int:
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


def _storage(settings: Settings) -> optuna.storages.RDBStorage:
    """Optuna's tables, in a schema of their own."""
    import optuna

    return optuna.storages.RDBStorage(
        writer_url(settings),
        engine_kwargs={"connect_args": {"options": f"-c search_path={SCHEMA}"}},
    )
