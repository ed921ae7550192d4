"""The values of a recipe that the hyperparameter search varies, and their ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tumorml.recipes.recipe import Recipe

if TYPE_CHECKING:
    import optuna


def suggest_variant(recipe: Recipe, trial: optuna.trial.BaseTrial) -> Recipe:
    """Return a recipe with the values that a trial suggests."""
    rate = trial.suggest_float("learning_rate_factor", 0.2, 5.0, log=True)
    phases, warm_phases = (
        tuple(
            phase.model_copy(update={"learning_rate": phase.learning_rate * rate})
            for phase in original_phases
        )
        for original_phases in (recipe.phases, recipe.warm_phases)
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


def recipe_values(recipe: Recipe) -> dict[str, float | int]:
    """Return the values of the recipe itself, for the first trial; they may exceed the ranges."""
    augmentation = recipe.augmentation.model_dump()
    names = ("rotation_degrees", "zoom", "shift", "brightness", "contrast")
    return {
        "learning_rate_factor": 1.0,
        **{name: augmentation[name] for name in names},
        "batch_size": recipe.batch_size,
        "dropout": recipe.dropout,
        "label_smoothing": recipe.label_smoothing,
        **(
            {"weight_decay": max(1e-6, recipe.optimizer.weight_decay)}
            if recipe.optimizer.name == "adamw"
            else {}
        ),
    }
