"""EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946; the authors' Lite variant, 2020).

It is EfficientNet-B0 without squeeze-and-excitation, with ReLU6, and with a fixed stem and head.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253
import numpy as np

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.copy_layers import backbone_layers, set_layer_weights
from tumorml.recipes.networks.head import add_head, add_logits
from tumorml.recipes.networks.layer_names import FEATURES, LOGITS, POOL
from tumorml.recipes.networks.pool_features import pool_features
from tumorml.recipes.read_torch_state import read_torch_state

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

# Kernel, blocks, stride of the first block, expansion, filters.
_STAGES = (
    (3, 1, 1, 1, 16),
    (3, 2, 2, 6, 24),
    (5, 2, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (5, 3, 1, 6, 112),
    (5, 4, 2, 6, 192),
    (3, 1, 1, 6, 320),
)
_STEM_FILTERS = 32
_HEAD_FILTERS = 1280

# The batch statistics must adapt from ImageNet to scans within the few dozen steps of a small
# training set; with Keras's default of 0.99 they would need hundreds.
_BATCH_NORM_MOMENTUM = 0.9


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Build EfficientNet-Lite0 with the head of the recipe."""
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    rgb = keras.layers.Concatenate(name="grey_to_rgb")([inputs, inputs, inputs])
    outputs = add_head(pool_features(inputs, _backbone(rgb), recipe), recipe, class_count)
    return keras.Model(inputs, outputs, name="efficientnet_lite0")


def build_imagenet_classifier(path: Path, input_size: int = 224) -> keras.Model:
    """Build the published network with its ImageNet head.

    Args:
        path: The published file of weights.
        input_size: Side S of the input, in pixels.

    Returns:
        A model from float32 `[n, S, S, 3]` (RGB in 0..255) to float32 logits `[n, 1000]`.

    Raises:
        TumorMLError: The file cannot be read, or has the weights of another network.
    """
    inputs = keras.Input((input_size, input_size, 3), name="photograph")
    features = keras.layers.GlobalAveragePooling2D(name=POOL)(_backbone(inputs))
    outputs = add_logits(features, 1000)
    model = keras.Model(inputs, outputs, name="efficientnet_lite0_imagenet")
    state = load_published(model, path)
    model.get_layer(LOGITS).set_weights([state["_fc.weight"].T, state["_fc.bias"]])
    return model


def load_published(model: keras.Model, path: Path) -> dict[str, np.ndarray]:
    """Load the published PyTorch weights into the backbone.

    Returns:
        All arrays of the file, by their PyTorch names.

    Raises:
        TumorMLError: The file cannot be read, or has the weights of another network.
    """
    state = read_torch_state(path)
    for layer in backbone_layers(model):
        try:
            arrays = _torch_arrays(layer.name, state)
        except KeyError as error:
            raise TumorMLError(
                f"Weights file {path} has no array {error} for layer {layer.name}."
            ) from None
        set_layer_weights(layer, arrays, str(path))
    return state


def _torch_arrays(layer: str, state: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return the arrays of a Keras layer, in Keras's layout.

    Raises:
        KeyError: The state has no such array.
    """
    block, _, part = layer.partition("_")
    names = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
    }
    if block.startswith("block"):
        inner = {
            "expand_conv": "_expand_conv",
            "expand_bn": "_bn0",
            "depthwise_conv": "_depthwise_conv",
            "depthwise_bn": "_bn1",
            "project_conv": "_project_conv",
            "project_bn": "_bn2",
        }[part]
        name = f"_blocks.{int(block.removeprefix('block'))}.{inner}"
    else:
        name = names[layer]
    if part.endswith("bn"):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [state[f"{name}.{array}"] for array in parts]
    # PyTorch's axes are out, in, height, width; Keras's are height, width, in, out, and for a
    # depthwise convolution height, width, channel, 1.
    axes = (2, 3, 0, 1) if part == "depthwise_conv" else (2, 3, 1, 0)
    return [state[f"{name}.weight"].transpose(axes)]


def _backbone(rgb: keras.KerasTensor) -> keras.KerasTensor:
    x = keras.layers.Rescaling(1.0 / 128.0, offset=-127.0 / 128.0, name="normalise")(rgb)
    x = _convolution(x, _STEM_FILTERS, 3, strides=2, name="stem_conv")
    x = _batch_normalized(x, "stem_bn")
    x = keras.layers.ReLU(6.0, name="stem_relu6")(x)
    index = 0
    for kernel, blocks, first_stride, expansion, filters in _STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = _block(x, index, kernel, stride, expansion, filters)
            index += 1
    x = _convolution(x, _HEAD_FILTERS, 1, name="head_conv")
    x = _batch_normalized(x, "head_bn")
    return keras.layers.ReLU(6.0, name=FEATURES)(x)


def _block(
    inputs: keras.KerasTensor,
    index: int,
    kernel: int,
    stride: int,
    expansion: int,
    filters: int,
) -> keras.KerasTensor:
    """Add an inverted residual block: expansion, depthwise convolution, projection."""
    name = f"block{index:02d}"
    x = inputs
    if expansion != 1:
        expanded = inputs.shape[-1] * expansion
        x = _convolution(x, expanded, 1, name=f"{name}_expand_conv")
        x = _batch_normalized(x, f"{name}_expand_bn")
        x = keras.layers.ReLU(6.0, name=f"{name}_expand_relu6")(x)
    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise_conv",
    )(x)
    x = _batch_normalized(x, f"{name}_depthwise_bn")
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu6")(x)
    x = _convolution(x, filters, 1, name=f"{name}_project_conv")
    x = _batch_normalized(x, f"{name}_project_bn")
    if stride == 1 and inputs.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, *, name: str, strides: int = 1
) -> keras.KerasTensor:
    return keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _batch_normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(epsilon=1e-3, momentum=_BATCH_NORM_MOMENTUM, name=name)(
        x
    )
