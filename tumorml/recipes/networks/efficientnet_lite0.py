"""EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946; the Lite variant of its authors, 2020).

EfficientNet-B0 without squeeze-and-excitation, with ReLU6, and with a fixed stem and head.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253
import numpy as np

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.copy_layers import backbone_layers, set_layer
from tumorml.recipes.networks.head import classifier, logits_layer
from tumorml.recipes.networks.pooling import pooled
from tumorml.recipes.torch_state import read_torch_state

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

# ImageNet's statistics must be able to follow a new domain within the few dozen steps that a small
# set of scans gives; Keras's 0.99 would need hundreds.
_BATCH_NORM_MOMENTUM = 0.9


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """The network, its last feature map pooled for the head."""
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    rgb = keras.layers.Concatenate(name="grey_to_rgb")([inputs, inputs, inputs])
    outputs = classifier(pooled(inputs, _backbone(rgb), recipe), recipe, class_count)
    return keras.Model(inputs, outputs, name="efficientnet_lite0")


def build_imagenet_classifier(path: Path, input_size: int = 224) -> keras.Model:
    """The published network whole: float32 `[n, S, S, 3]` RGB in 0..255 to 1,000 logits.

    Raises:
        TumorMLError: the file holds other weights.
    """
    inputs = keras.Input((input_size, input_size, 3), name="photograph")
    features = keras.layers.GlobalAveragePooling2D(name="pool")(_backbone(inputs))
    outputs = logits_layer(features, 1000)
    model = keras.Model(inputs, outputs, name="efficientnet_lite0_imagenet")
    state = load_published(model, path)
    model.get_layer("logits").set_weights([state["_fc.weight"].T, state["_fc.bias"]])
    return model


def load_published(model: keras.Model, path: Path) -> dict[str, np.ndarray]:
    """Put the published PyTorch weights into the layers up to `pool`.

    Returns:
        All arrays of the file.

    Raises:
        TumorMLError: the file holds other weights.
    """
    state = read_torch_state(path)
    for layer in backbone_layers(model):
        try:
            arrays = _torch_arrays(layer.name, state)
        except KeyError as error:
            raise TumorMLError(
                f"Weights file {path} holds no {error} for layer {layer.name}."
            ) from None
        set_layer(layer, arrays, str(path))
    return state


def _torch_arrays(layer: str, state: dict[str, np.ndarray]) -> list[np.ndarray]:
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


def _backbone(rgb: keras.KerasTensor) -> keras.KerasTensor:
    x = keras.layers.Rescaling(1.0 / 128.0, offset=-127.0 / 128.0, name="normalise")(rgb)
    x = _convolution(x, _STEM_FILTERS, 3, strides=2, name="stem_conv")
    x = _normalised(x, "stem_bn")
    x = keras.layers.ReLU(6.0, name="stem_relu6")(x)
    index = 0
    for kernel, blocks, first_stride, expansion, filters in _STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = _block(x, index, kernel, stride, expansion, filters)
            index += 1
    x = _convolution(x, _HEAD_FILTERS, 1, name="head_conv")
    x = _normalised(x, "head_bn")
    return keras.layers.ReLU(6.0, name="features")(x)


def _block(
    inputs: keras.KerasTensor,
    index: int,
    kernel: int,
    stride: int,
    expansion: int,
    filters: int,
) -> keras.KerasTensor:
    """One inverted residual block: expand, filter each channel on its own, project."""
    name = f"block{index:02d}"
    x = inputs
    if expansion != 1:
        expanded = inputs.shape[-1] * expansion
        x = _convolution(x, expanded, 1, name=f"{name}_expand_conv")
        x = _normalised(x, f"{name}_expand_bn")
        x = keras.layers.ReLU(6.0, name=f"{name}_expand_relu6")(x)
    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise_conv",
    )(x)
    x = _normalised(x, f"{name}_depthwise_bn")
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu6")(x)
    x = _convolution(x, filters, 1, name=f"{name}_project_conv")
    x = _normalised(x, f"{name}_project_bn")
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


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(epsilon=1e-3, momentum=_BATCH_NORM_MOMENTUM, name=name)(
        x
    )
