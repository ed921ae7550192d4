"""Update best epoch, early stopping and learning-rate reduction after each epoch."""

from __future__ import annotations

from dataclasses import replace

from tumorml.recipes.recipe import Recipe
from tumorml.training.checkpoints.checkpoint import EpochRecord, TrainingState


def update_progress(
    recipe: Recipe, progress: TrainingState, record: EpochRecord, *, is_last_phase: bool
) -> TrainingState:
    """Return the state of a training after one more epoch.

    Args:
        recipe: Its `reduce_on_plateau` and `early_stopping_patience` are used.
        progress: State before the epoch.
        record: The finished epoch.
        is_last_phase: Whether early stopping applies; it ends the last phase only.
    """
    records = (*progress.records, record)
    if record.validation_loss < progress.best_validation_loss:
        return replace(
            progress,
            records=records,
            best_epoch=record.epoch,
            best_validation_loss=record.validation_loss,
            epochs_since_gain=0,
            epochs_since_reduction=0,
        )
    since_gain = progress.epochs_since_gain + 1
    since_reduction = progress.epochs_since_reduction + 1
    rate_share = progress.rate_share
    plateau = recipe.reduce_on_plateau
    if plateau and since_reduction >= plateau.patience:
        rate_share = max(rate_share * plateau.factor, plateau.minimum_share)
        since_reduction = 0
    patience = recipe.early_stopping_patience
    return replace(
        progress,
        records=records,
        epochs_since_gain=since_gain,
        epochs_since_reduction=since_reduction,
        rate_share=rate_share,
        stopped=is_last_phase and patience is not None and since_gain >= patience,
    )
