"""Checkpoints of a training on disk, written atomically.

One ``.npz`` file contains the variables of the network, the variables of the optimizer and the
state of the training, so the three are always consistent. It contains no pickles.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tumorml.errors import TumorMLError
from tumorml.files import write_atomically

_FORMAT = 2
_CHECKPOINT = "checkpoint.npz"


@dataclass(frozen=True)
class EpochRecord:
    """Results of one epoch.

    Attributes:
        epoch: Number of the epoch over all phases, from 1.
        epochs: Number of epochs of the recipe.
        phase: Name of the phase.
        loss: Mean training loss, including class weights, label smoothing and regularization.
        accuracy: Share of augmented training scans that were classified correctly, in 0..1; a
            blended scan has the class of its larger share.
        validation_loss: Mean cross-entropy on the validation scans, including label smoothing and
            excluding regularization, without test-time flip.
        validation_accuracy: Share of validation scans that were classified correctly, in 0..1.
        learning_rate: Mean over the steps of the epoch.
        seconds: Wall-clock time of the epoch, including validation.
        peak_memory_bytes: Peak resident memory of the process so far, in bytes.
    """

    epoch: int
    epochs: int
    phase: str
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class TrainingState:
    """State of a training after an epoch.

    Attributes:
        fingerprint: Fingerprint of the recipe, data and seed, as of `training_fingerprint`.
        records: Records of all finished epochs, in order.
        best_epoch: Epoch with the lowest validation loss; 0 before the first epoch.
        best_validation_loss: Validation loss of the best epoch.
        epochs_since_gain: Epochs of this phase since the best epoch.
        epochs_since_reduction: Epochs of this phase since the best epoch or the last reduction of
            the learning rate, whichever is later.
        rate_share: Current share of the phase's learning rate after reductions, in 0..1.
        stopped: Whether early stopping has ended the training.
    """

    fingerprint: str
    records: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    best_validation_loss: float = float("inf")
    epochs_since_gain: int = 0
    epochs_since_reduction: int = 0
    rate_share: float = 1.0
    stopped: bool = False

    def at_phase_start(self) -> TrainingState:
        """Return the state with the counters of a phase reset."""
        return replace(self, epochs_since_gain=0, epochs_since_reduction=0, rate_share=1.0)


@dataclass(frozen=True)
class Checkpoint:
    """State after a finished epoch: progress, and variables of the network and the optimizer."""

    progress: TrainingState
    network: list[np.ndarray]
    optimizer: list[np.ndarray]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a folder atomically."""
    state = {"format": _FORMAT, **asdict(checkpoint.progress)}
    arrays = {
        **_numbered("network", checkpoint.network),
        **_numbered("optimizer", checkpoint.optimizer),
        "state": np.frombuffer(json.dumps(state).encode(), np.uint8),
    }
    _write_arrays(folder / _CHECKPOINT, arrays)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the checkpoint of a folder; None if there is none.

    Raises:
        TumorMLError: The checkpoint cannot be read, or another version wrote it.
    """
    arrays = _read(folder / _CHECKPOINT)
    if arrays is None:
        return None
    state = json.loads(arrays["state"].tobytes())
    if state.pop("format") != _FORMAT:
        raise TumorMLError(
            f"{folder / _CHECKPOINT} was written by another version of tumorml; "
            "empty the folder to restart the training."
        )
    records = tuple(EpochRecord(**record) for record in state.pop("records"))
    return Checkpoint(
        TrainingState(records=records, **state),
        _list(arrays, "network"),
        _list(arrays, "optimizer"),
    )


def finished_epochs(folder: Path) -> tuple[EpochRecord, ...]:
    """Return the records of all finished epochs in a folder's checkpoint; empty without one."""
    checkpoint = load_checkpoint(folder)
    return checkpoint.progress.records if checkpoint else ()


def save_best(folder: Path, epoch: int, network: list[np.ndarray]) -> None:
    """Write an epoch's weights to a separate file, atomically."""
    _write_arrays(_best_path(folder, epoch), _numbered("network", network))


def load_best(folder: Path, epoch: int) -> list[np.ndarray]:
    """Read the weights that `save_best` wrote.

    Raises:
        TumorMLError: The file is missing or cannot be read.
    """
    arrays = _read(_best_path(folder, epoch))
    if arrays is None:
        raise TumorMLError(
            f"{_best_path(folder, epoch)} is missing, but the checkpoint beside it refers to it; "
            "empty the folder to restart the training."
        )
    return _list(arrays, "network")


def remove_all_but_best(folder: Path, epoch: int) -> None:
    """Remove the weights of earlier best epochs and partial files of a killed process."""
    kept = _best_path(folder, epoch)
    for path in [*folder.glob("best-*.npz"), *folder.glob("*.npz*.part")]:
        if path != kept:
            path.unlink(missing_ok=True)


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the files of a folder's checkpoint: the best weights, if any, then the checkpoint."""
    return [*sorted(folder.glob("best-*.npz")), folder / _CHECKPOINT]


def _best_path(folder: Path, epoch: int) -> Path:
    return folder / f"best-{epoch:04d}.npz"


def _numbered(prefix: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}-{index:04d}": array for index, array in enumerate(arrays)}


def _list(arrays: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    return [arrays[name] for name in sorted(arrays) if name.startswith(f"{prefix}-")]


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TumorMLError(
            f"Checkpoint {path} cannot be read ({error}); empty its folder to restart the training."
        ) from error


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    write_atomically(path, lambda file: np.savez(file, **arrays))
