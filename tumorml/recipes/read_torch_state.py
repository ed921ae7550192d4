"""Read a PyTorch state dict without PyTorch.

The legacy file format is five pickles (magic number, protocol, system, state dict, storage keys),
then each storage as an int64 count and its little-endian values. A pickle can run any code, so this
reader allows four names and refuses all others.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tumorml.errors import TumorMLError

_LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_ALLOWED_GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


class _StateUnpickler(pickle.Unpickler):
    """An unpickler that allows only the names in a state dict of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED_GLOBALS[f"{module}.{name}"]
        except KeyError:
            raise TumorMLError(
                f"the file imports {module}.{name}, which no state dict needs; it was not loaded"
            ) from None

    def persistent_load(self, identifier: Any) -> _Storage:
        _, dtype, key, _, size, *_ = identifier
        if not isinstance(dtype, np.dtype):
            raise ValueError(f"storage {key} has an unknown type")
        return _Storage(str(key), dtype, int(size))


def read_torch_state(path: str | Path) -> dict[str, np.ndarray]:
    """Read a state dict in PyTorch's legacy file format.

    Returns:
        The arrays by name, in PyTorch's layout.

    Raises:
        TumorMLError: The file is missing, truncated or in another format, or contains anything
            but tensors.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read_legacy(file)
    except OSError as error:
        raise TumorMLError(f"Weights file {path} cannot be read: {error}.") from error
    except TumorMLError as error:
        raise TumorMLError(f"Weights file {path} was refused: {error}.") from None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError,
            KeyError, IndexError, UnicodeDecodeError, struct.error) as error:  # fmt: skip
        raise TumorMLError(
            f"Weights file {path} is not a state dict in PyTorch's legacy format: {error!r}."
        ) from error


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    def load() -> Any:
        return _StateUnpickler(file).load()

    if load() != _LEGACY_MAGIC_NUMBER or load() != _LEGACY_PROTOCOL:
        raise ValueError("wrong magic number or protocol version")
    if load().get("little_endian") is not True:
        raise ValueError("the file is not little-endian")
    state: dict[str, _Tensor] = load()
    if not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        raise ValueError("the state dict contains something that is not a tensor")
    storages = {tensor.storage.key: tensor.storage for tensor in state.values()}
    values = {key: _read_storage(file, storages[key]) for key in load()}
    return {name: _as_array(tensor, values[tensor.storage.key]) for name, tensor in state.items()}


def _read_storage(file: BinaryIO, storage: _Storage) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    if count != storage.size:
        raise ValueError(f"storage {storage.key} has {count} values, not {storage.size}")
    return np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype, count)


def _as_array(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    steps = [(size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True)]
    inside = min([tensor.offset, *tensor.shape, *tensor.strides, 0]) >= 0
    # With strides of 0, one value could be repeated until memory is full.
    inside = inside and math.prod(tensor.shape) <= values.size
    if not inside or tensor.offset + sum(steps) >= values.size:
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * values.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides)
    return view.copy()
