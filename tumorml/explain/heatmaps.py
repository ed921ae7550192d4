"""Which places spoke for an answer: the evidence map, or LayerCAM where a network has none.

LayerCAM is that of Jiang et al. 2021, doi:10.1109/TIP.2021.3089943; Grad-CAM, that of Selvaraju et
al. 2017, arXiv:1610.02391. Which of them, and of which layer, was measured: docs/explanation/heatmaps.md.

A heatmap is a claim of the network about itself, at the resolution of one of its feature maps; it
does not outline a lesion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from tumorml.models.calibration import of_classes
from tumorml.recipes.networks import EVIDENCE

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tumorml.models.predictor import Predictor


EVIDENCE_MEANING = "evidence map: warm where the network, taught by masks, sees a tumour"
"""What a warm place of an evidence map is."""

Method = Literal["layer-cam", "grad-cam"]
"""Either weighs the maps of a layer by their gradients: each place of them, or each as a whole."""


class Explained(NamedTuple):
    """The answers for n scans, and the places that spoke for them.

    Attributes:
        probabilities: float32 `[n, classes]`, as `Predictor.predict` gives them.
        classes: int64 `[n]`: the class that each map is of.
        maps: float32 `[n, S, S]` in 0..1; without an evidence map the strongest place of each is 1,
            and one without any evidence for its class is 0 everywhere.
    """

    probabilities: np.ndarray
    classes: np.ndarray
    maps: np.ndarray


class _Explainer(NamedTuple):
    """Scans to what is seen in them and raw logits; what is seen and classes to maps."""

    look: Callable[[np.ndarray], tuple[Any, tf.Tensor]]
    point: Callable[[Any, np.ndarray], tf.Tensor]


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
) -> Explained:
    """Answer for scans, and say which places spoke for the answer.

    With an evidence map the network runs once, as it does without a map. Otherwise what lies behind
    `layer` runs once more, forward and backward; where a path goes around that layer, as the
    decoder of an evidence map does, the whole network does. Where the predictor answers for a scan
    and its mirror image, the map is of both. Where the network has a layer `evidence`, its map it
    is, whatever the class: what lies there was classified, beside the whole scan.

    Args:
        predictor: its model has an evidence map, or a feature map which every path to the logits
            leads through, at an eighth of the input's side as every packaged network has, or at the
            nearest to that.
        images: uint8 `[n, S, S]` at the predictor's input size; n may be 0.
        class_index: integers `[n]`: the class to explain, for each scan; None: what it is called.
            In a binary model class 0 is explained by the negated logit.
        method: None: the evidence map or, where there is none, LayerCAM.
        layer: whose maps `method` weighs; None: that one. An earlier one has a finer map, of less
            that was understood.
        batch_size: scans at a time.

    Raises:
        ValueError: there are more or fewer classes than scans, or a class that does not exist, or
            the network has no such layer.
    """
    if class_index is not None:
        class_index = np.asarray(class_index, dtype=np.int64)
        if class_index.shape != (len(images),):
            raise ValueError(f"{len(images)} scans need as many classes, not {class_index.shape}")
        if np.any((class_index < 0) | (class_index >= len(predictor.labels))):
            raise ValueError(f"a class is outside 0..{len(predictor.labels) - 1}")
    explainers = _compiled.setdefault(predictor, {})
    if (method, layer) not in explainers:
        explainers[method, layer] = _compile(predictor, method, layer)
    look, point = explainers[method, layer]
    parts = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        seen, raw = look(images[batch])
        probabilities = predictor.calibrated(of_classes(raw.numpy()))
        classes = predictor.decide(probabilities) if class_index is None else class_index[batch]
        parts.append((probabilities, classes, point(seen, classes.astype(np.int32)).numpy()))
    if not parts:
        side, count = predictor.input_size, len(predictor.labels)
        nothing = np.zeros((0, side, side), np.float32)
        return Explained(np.zeros((0, count), np.float32), np.zeros(0, np.int64), nothing)
    return Explained(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def heatmaps(predictor: Predictor, images: np.ndarray, class_index: np.ndarray) -> np.ndarray:
    """The maps of `explain`, for these classes."""
    return explain(predictor, images, class_index).maps


def heatmap_of(evidence: np.ndarray, side: int) -> np.ndarray:
    """An evidence map, float32 `[E, E]`, as `explain` gives it: float32 `[side, side]`."""
    return np.asarray(cv2.resize(evidence, (side, side)), np.float32)


def meaning(predictor: Predictor, label: str) -> str:
    """What a warm place of a predictor's heatmap for a label is, in a line."""
    if _has_evidence(predictor.model):
        return EVIDENCE_MEANING
    return f"LayerCAM for {label}: 1 = strongest evidence in this scan"


def _has_evidence(model: keras.Model) -> bool:
    return EVIDENCE in {layer.name for layer in model.layers}


def _compile(predictor: Predictor, method: Method | None, layer: str | None) -> _Explainer:
    import tensorflow as tf

    # The cache would hold the predictor for ever if what it holds referred to it.
    model, side, flip = predictor.model, predictor.input_size, predictor.test_time_flip
    has_evidence = method is None and _has_evidence(model)
    if has_evidence:
        see, places = _evidence_of(model)
    else:
        see, places = _cam_of(model, method or "layer-cam", layer)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([None, side, side], tf.uint8)]
    )
    def look(images: tf.Tensor) -> tuple[Any, tf.Tensor]:
        scans = tf.cast(images, tf.float32)[..., None]
        seen, logits = see(scans)
        if not flip:
            return [seen], logits
        mirrored, also = see(tf.reverse(scans, [2]))
        return [seen, mirrored], (logits + also) / 2.0

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def point(seen: list[tf.Tensor], classes: tf.Tensor) -> tf.Tensor:
        maps = places(seen[0], classes)
        if flip:
            maps = (maps + tf.reverse(places(seen[1], classes), [2])) / 2.0
        maps = tf.image.resize(tf.nn.relu(maps), [side, side], method="bilinear")[..., 0]
        if has_evidence:
            return maps
        return tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=[1, 2], keepdims=True))

    return _Explainer(look, point)


_See = Callable[["tf.Tensor"], tuple["tf.Tensor", "tf.Tensor"]]
_Places = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]


def _evidence_of(model: keras.Model) -> tuple[_See, _Places]:
    import keras

    both = keras.Model(model.inputs[0], [model.get_layer(EVIDENCE).output, model.outputs[0]])
    return lambda scans: tuple(both(scans, training=False)), lambda evidence, _: evidence


def _cam_of(model: keras.Model, method: Method, layer: str | None) -> tuple[_See, _Places]:
    import keras
    import tensorflow as tf

    if layer is not None:
        output = model.get_layer(layer).output
    elif _has_evidence(model):  # its decoder goes around what is as fine
        output, _ = _fine_features(keras.Model(model.inputs[0], model.get_layer("features").output))
    else:
        output, _ = _fine_features(model)
    whole = keras.Model(model.inputs[0], [output, model.outputs[0]])
    head = _behind(model, output)

    def see(scans: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, logits = whole(scans, training=False)
        return (scans if head is None else features), logits

    def places(seen: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(seen)
            if head is None:
                features, logits = whole(seen, training=False)
            else:
                features, logits = seen, head(seen, training=False)
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

    return see, places


def _behind(model: keras.Model, output: keras.KerasTensor) -> keras.Model | None:
    """The network behind a feature map; None where a path goes around it."""
    import keras

    try:
        return keras.Model(output, model.outputs[0])
    except ValueError:
        return None


def _fine_features(model: keras.Model) -> tuple[keras.KerasTensor, keras.Model]:
    """The last feature map at an eighth of the input's side that all paths lead through.

    And the network behind it. Where there is none at an eighth, it is the nearest by the ratio of
    the sides, of two as near the finer one, and at the input's own side only where there is no
    other. A stride rounds the side of its map up or down.
    """
    import keras

    side = model.inputs[0].shape[1]
    maps = [layer.output for layer in reversed(model.layers) if len(layer.output.shape) == 4]

    def away(output: keras.KerasTensor) -> tuple[bool, float, int]:
        own = output.shape[1]
        at_an_eighth = own in (side // 8, -(-side // 8))
        return own == side, 0.0 if at_an_eighth else abs(math.log(8 * own / side)), -own

    for output in sorted(maps, key=away):
        try:
            return output, keras.Model(output, model.outputs[0])
        except ValueError:  # a path goes around it
            continue
    raise ValueError(f"network {model.name} has no feature map")
