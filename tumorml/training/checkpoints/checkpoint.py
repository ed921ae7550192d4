"""Checkpoints that survive a kill at any moment: a file is written whole or not at all.

One ``.npz`` holds the network's variables, the optimiser's, and where the training stands, so the
three can never disagree. Nothing in it is a pickle.
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
    """What one epoch came to.

    Attributes:
        epoch: 1-based, counted over all phases.
        epochs: how many the recipe asks for in all.
        phase: the name of the recipe's phase.
        loss: mean training loss; class weights, label smoothing and what regularisation adds are
            included.
        accuracy: share of training scans, as varied, that were classified rightly, in 0..1; a
            blend counts as the class that weighs most in it.
        validation_loss: mean cross-entropy on the validation scans, label smoothing included, of
            the scans as they are: the network is not asked for mirror images.
        validation_accuracy: share of these that were classified rightly, in 0..1.
        learning_rate: mean over the epoch's steps.
        seconds: wall-clock time of the epoch with its validation.
        peak_memory_bytes: the most resident memory that this process has had so far.
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
    """Where a training stands after an epoch.

    Attributes:
        fingerprint: of the recipe, the data and the seed; another training's is not resumed.
        records: of every finished epoch, in order.
        best_epoch: the epoch with the least validation loss, 0 before the first.
        best_validation_loss: that loss.
        epochs_since_gain: epochs of this phase since the validation loss was last at its least.
        epochs_since_reduction: the same, but since the rate was last reduced where that is later.
        rate_share: what ReduceOnPlateau has left of the phase's learning rate, in 0..1.
        stopped: early stopping has ended the training.
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
        """The same with all that a phase counts set back."""
        return replace(self, epochs_since_gain=0, epochs_since_reduction=0, rate_share=1.0)


@dataclass(frozen=True)
class Checkpoint:
    """A finished epoch: progress, the network's variables and the optimiser's."""

    progress: TrainingState
    network: list[np.ndarray]
    optimizer: list[np.ndarray]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint over the last one, atomically."""
    state = {"format": _FORMAT, **asdict(checkpoint.progress)}
    arrays = {
        **_numbered("network", checkpoint.network),
        **_numbered("optimizer", checkpoint.optimizer),
        "state": np.frombuffer(json.dumps(state).encode(), np.uint8),
    }
    _write_arrays(folder / _CHECKPOINT, arrays)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The last checkpoint of a folder, or None when it holds none.

    Raises:
        TumorMLError: there is one that cannot be read.
    """
    arrays = _read(folder / _CHECKPOINT)
    if arrays is None:
        return None
    state = json.loads(arrays["state"].tobytes())
    if state.pop("format") != _FORMAT:
        raise TumorMLError(
            f"{folder / _CHECKPOINT} was written by another version of tumorml; "
            "empty the folder to start the training anew."
        )
    records = tuple(EpochRecord(**record) for record in state.pop("records"))
    return Checkpoint(
        TrainingState(records=records, **state),
        _list(arrays, "network"),
        _list(arrays, "optimizer"),
    )


def finished_epochs(folder: Path) -> tuple[EpochRecord, ...]:
    """The records of the epochs that a folder's checkpoint has behind it; none without one."""
    checkpoint = load_checkpoint(folder)
    return checkpoint.progress.records if checkpoint else ()


def save_best(folder: Path, epoch: int, network: list[np.ndarray]) -> None:
    """Keep an epoch's weights under a name of their own, atomically."""
    _write_arrays(_best_path(folder, epoch), _numbered("network", network))


def load_best(folder: Path, epoch: int) -> list[np.ndarray]:
    """The weights that `save_best` kept.

    Raises:
        TumorMLError: they are not there, or cannot be read.
    """
    arrays = _read(_best_path(folder, epoch))
    if arrays is None:
        raise TumorMLError(
            f"{_best_path(folder, epoch)} is missing though the checkpoint beside it names it; "
            "empty the folder to start the training anew."
        )
    return _list(arrays, "network")


def remove_all_but_best(folder: Path, epoch: int) -> None:
    """Remove earlier bests, and what a killed write left behind."""
    kept = _best_path(folder, epoch)
    for path in [*folder.glob("best-*.npz"), *folder.glob("*.npz*.part")]:
        if path != kept:
            path.unlink(missing_ok=True)


def checkpoint_files(folder: Path) -> list[Path]:
    """All that a folder's checkpoint needs: the best weights, if they are kept, and it, last."""
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
            f"Checkpoint {path} cannot be read ({error}); empty its folder to start the training "
            "anew."
        ) from error


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    write_atomically(path, lambda file: np.savez(file, **arrays))
