"""Heatmaps of predictions: the evidence map of a network, or LayerCAM where it has none.

LayerCAM: Jiang et al. 2021, doi:10.1109/TIP.2021.3089943. Grad-CAM: Selvaraju et al. 2017,
arXiv:1610.02391. docs/explanation/heatmaps.md has the measurements behind the choice of method and
layer.

A heatmap shows which places of a scan raised the network's output, at the resolution of one of its
feature maps. It does not outline a lesion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from tumorml.models.calibration import class_logits
from tumorml.recipes.networks.layer_names import EVIDENCE

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tumorml.models.predictor import Predictor


EVIDENCE_MEANING = "evidence map: warm where the network, trained on masks, detects a tumor"
"""The meaning of warm places in an evidence map."""

Method = Literal["layer-cam", "grad-cam"]
"""Both weight the feature maps of a layer by gradients, LayerCAM per pixel, Grad-CAM per map."""


class ExplainedScans(NamedTuple):
    """Predictions for n scans and their heatmaps.

    Attributes:
        probabilities: float32 `[n, classes]`, equal to those of `Predictor.predict`.
        classes: int64 `[n]`, the class that each map explains.
        maps: float32 `[n, S, S]` in 0..1. Evidence maps are not scaled. A LayerCAM or Grad-CAM map
            has a maximum of 1, or is 0 everywhere if there is no evidence for its class.
    """

    probabilities: np.ndarray
    classes: np.ndarray
    maps: np.ndarray


class _Explainer(NamedTuple):
    """Compiled functions of a predictor.

    Attributes:
        forward: From images to activations and raw logits.
        maps: From activations and class indices to heatmaps.
    """

    forward: Callable[[np.ndarray], tuple[Any, tf.Tensor]]
    maps: Callable[[Any, np.ndarray], tf.Tensor]


_compiled: WeakKeyDictionary[Predictor, dict[tuple[Method | None, str | None], _Explainer]] = (
    WeakKeyDictionary()
)


def explain(
    predictor: Predictor,
    images: np.ndarray,
    class_index: np.ndarray | None = None,
    *,
    method: Method | None = None,
    layer: str | None = None,
    batch_size: int = 16,
) -> ExplainedScans:
    """Predict scans and compute a heatmap for each prediction.

    If the network has a layer `evidence`, its evidence map is the heatmap of every class, because
    the classification uses the features at the places that the map marks, besides the features of
    the entire scan. The network then runs once.

    Otherwise, the heatmap comes from gradients: the layers after `layer` run once more, forward and
    backward. If a path bypasses `layer`, as the decoder of an evidence map does, the entire network
    runs once more. If the predictor averages over a scan and its mirror image, so does the map.

    Args:
        predictor: A predictor whose model has an evidence map, or a feature map that every path to
            the logits passes through. By default, the one at an eighth of the input's side is used,
            or the one closest to that.
        images: uint8 `[n, S, S]` at the predictor's input size; n may be 0.
        class_index: Integers `[n]`, the class to explain for each scan; by default the predicted
            one. In a binary model, class 0 is explained by the negated logit.
        method: By default the evidence map, or LayerCAM if there is none.
        layer: Layer whose feature maps `method` weights. An earlier layer gives a finer map of less
            specific features.
        batch_size: Scans at a time.

    Raises:
        ValueError: The number of classes is not the number of scans, a class does not exist, or the
            network has no such layer.
    """
    if class_index is not None:
        class_index = np.asarray(class_index, dtype=np.int64)
        if class_index.shape != (len(images),):
            raise ValueError(
                f"one class per scan is required: {len(images)} scans, classes {class_index.shape}"
            )
        if np.any((class_index < 0) | (class_index >= len(predictor.labels))):
            raise ValueError(f"class indices must be in 0..{len(predictor.labels) - 1}")
    explainers = _compiled.setdefault(predictor, {})
    if (method, layer) not in explainers:
        explainers[method, layer] = _compile(predictor, method, layer)
    explainer = explainers[method, layer]
    parts = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        activations, logits = explainer.forward(images[batch])
        probabilities = predictor.calibrated(class_logits(logits.numpy()))
        classes = predictor.decide(probabilities) if class_index is None else class_index[batch]
        maps = explainer.maps(activations, classes.astype(np.int32)).numpy()
        parts.append((probabilities, classes, maps))
    if not parts:
        side, count = predictor.input_size, len(predictor.labels)
        return ExplainedScans(
            np.zeros((0, count), np.float32),
            np.zeros(0, np.int64),
            np.zeros((0, side, side), np.float32),
        )
    return ExplainedScans(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def heatmaps(predictor: Predictor, images: np.ndarray, class_index: np.ndarray) -> np.ndarray:
    """Return the heatmaps of scans for given classes; see `explain`."""
    return explain(predictor, images, class_index).maps


def heatmap_of(evidence: np.ndarray, side: int) -> np.ndarray:
    """Resize an evidence map, float32 `[E, E]`, to a heatmap, float32 `[side, side]`."""
    return np.asarray(cv2.resize(evidence, (side, side)), np.float32)


def heatmap_meaning(predictor: Predictor, label: str) -> str:
    """Return one line about the meaning of warm places in a predictor's heatmap for a label."""
    if _has_evidence(predictor.model):
        return EVIDENCE_MEANING
    return f"LayerCAM for {label}: 1 = strongest evidence in this scan"


def _has_evidence(model: keras.Model) -> bool:
    return EVIDENCE in {layer.name for layer in model.layers}


def _compile(predictor: Predictor, method: Method | None, layer: str | None) -> _Explainer:
    import tensorflow as tf

    # The functions must not refer to the predictor; otherwise the cache would keep it alive.
    model, side, flip = predictor.model, predictor.input_size, predictor.test_time_flip
    has_evidence = method is None and _has_evidence(model)
    if has_evidence:
        forward_once, maps_once = _evidence_functions(model)
    else:
        forward_once, maps_once = _cam_functions(model, method or "layer-cam", layer)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([None, side, side], tf.uint8)]
    )
    def forward(images: tf.Tensor) -> tuple[Any, tf.Tensor]:
        scans = tf.cast(images, tf.float32)[..., None]
        activations, logits = forward_once(scans)
        if not flip:
            return [activations], logits
        mirrored_activations, mirrored_logits = forward_once(tf.reverse(scans, [2]))
        return [activations, mirrored_activations], (logits + mirrored_logits) / 2.0

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def maps_of(activations: list[tf.Tensor], classes: tf.Tensor) -> tf.Tensor:
        maps = maps_once(activations[0], classes)
        if flip:
            maps = (maps + tf.reverse(maps_once(activations[1], classes), [2])) / 2.0
        maps = tf.image.resize(tf.nn.relu(maps), [side, side], method="bilinear")[..., 0]
        if has_evidence:
            return maps
        return tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=[1, 2], keepdims=True))

    return _Explainer(forward, maps_of)


_Forward = Callable[["tf.Tensor"], tuple["tf.Tensor", "tf.Tensor"]]
_Maps = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]


def _evidence_functions(model: keras.Model) -> tuple[_Forward, _Maps]:
    import keras

    both = keras.Model(model.inputs[0], [model.get_layer(EVIDENCE).output, model.outputs[0]])
    return lambda scans: tuple(both(scans, training=False)), lambda evidence, _: evidence


def _cam_functions(model: keras.Model, method: Method, layer: str | None) -> tuple[_Forward, _Maps]:
    import keras
    import tensorflow as tf

    if layer is not None:
        output = model.get_layer(layer).output
    elif _has_evidence(model):  # its decoder bypasses the feature maps at an eighth
        output, _ = _fine_feature_map(
            keras.Model(model.inputs[0], model.get_layer("features").output)
        )
    else:
        output, _ = _fine_feature_map(model)
    network = keras.Model(model.inputs[0], [output, model.outputs[0]])
    head = _layers_after(model, output)

    def forward(scans: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, logits = network(scans, training=False)
        return (scans if head is None else features), logits

    def maps(activations: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(activations)
            if head is None:
                features, logits = network(activations, training=False)
            else:
                features, logits = activations, head(activations, training=False)
            if logits.shape[-1] == 1:
                score = logits[:, 0] * tf.where(classes == 1, 1.0, -1.0)
            else:
                score = tf.gather(logits, classes, batch_dims=1)
        weights = tf.cast(tape.gradient(score, features), tf.float32)
        if method == "layer-cam":
            weights = tf.nn.relu(weights)
        else:
            weights = tf.reduce_mean(weights, axis=[1, 2], keepdims=True)
        return tf.reduce_sum(weights * tf.cast(features, tf.float32), axis=-1, keepdims=True)

    return forward, maps


def _layers_after(model: keras.Model, output: keras.KerasTensor) -> keras.Model | None:
    """Return the model from a feature map to the logits; None if a path bypasses the map."""
    import keras

    try:
        return keras.Model(output, model.outputs[0])
    except ValueError:
        return None


def _fine_feature_map(model: keras.Model) -> tuple[keras.KerasTensor, keras.Model]:
    """Return the feature map that LayerCAM uses by default, and the model from it to the logits.

    It is the last feature map at an eighth of the input's side that all paths pass through. A
    stride may round that side up or down. If there is no such map, the one with the closest ratio
    of sides is used; of two equally close maps, the finer one. A map at the input's own side is
    used only if there is no other.
    """
    import keras

    side = model.inputs[0].shape[1]
    maps = [layer.output for layer in reversed(model.layers) if len(layer.output.shape) == 4]

    def distance(output: keras.KerasTensor) -> tuple[bool, float, int]:
        map_side = output.shape[1]
        at_an_eighth = map_side in (side // 8, -(-side // 8))
        log_ratio = 0.0 if at_an_eighth else abs(math.log(8 * map_side / side))
        return map_side == side, log_ratio, -map_side

    for output in sorted(maps, key=distance):
        try:
            return output, keras.Model(output, model.outputs[0])
        except ValueError:  # a path bypasses it
            continue
    raise ValueError(f"network {model.name} has no feature map that all paths pass through")
