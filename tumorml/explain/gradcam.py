"""Which places spoke for an answer: the evidence map, or Grad-CAM where a network has none.

Grad-CAM is that of Selvaraju et al. 2017, arXiv:1610.02391.

A heatmap is a claim of the network about itself, at the resolution of its last feature map; it
does not outline a lesion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from tumorml.recipes.networks import EVIDENCE

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tumorml.models.predictor import Predictor

_compiled: WeakKeyDictionary[Predictor, Callable[..., np.ndarray]] = WeakKeyDictionary()


def heatmaps(
    predictor: Predictor, images: np.ndarray, class_index: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """The evidence for one class of each scan.

    The network runs forward to `features` once; only the head behind it runs backward. Where the
    predictor answers for a scan and its mirror image it runs twice, and the map is of both. Where
    the network has a layer `evidence`, that map is the answer, whatever the class: what is
    classified was pooled by it.

    Args:
        predictor: its model has a layer `features`, as every packaged network has.
        images: uint8 `[n, S, S]` at the predictor's input size; n may be 0.
        class_index: integers `[n]`: the class to explain, for each scan. In a binary model class 0
            is explained by the negated logit.
        batch_size: scans at a time.

    Returns:
        float32 `[n, S, S]` in 0..1; of Grad-CAM the strongest place of each map is 1, and a map
        without any evidence for its class is 0 everywhere.

    Raises:
        ValueError: there are more or fewer classes than scans, or a class that does not exist.
    """
    class_index = np.asarray(class_index, dtype=np.int32)
    if class_index.shape != (len(images),):
        raise ValueError(f"{len(images)} scans need as many classes, not {class_index.shape}")
    if np.any((class_index < 0) | (class_index >= len(predictor.labels))):
        raise ValueError(f"a class is outside 0..{len(predictor.labels) - 1}")
    explain = _compiled.get(predictor)
    if explain is None:
        explain = _compiled[predictor] = _compile(predictor)
    maps = [
        explain(images[start : start + batch_size], class_index[start : start + batch_size])
        for start in range(0, len(images), batch_size)
    ]
    side = predictor.input_size
    return np.concatenate(maps) if maps else np.zeros((0, side, side), np.float32)


def meaning(predictor: Predictor, label: str) -> str:
    """What a warm place of a predictor's heatmap for a label is, in a line."""
    if _has_evidence(predictor.model):
        return "evidence map: the answer was taken from where it is warm"
    return f"Grad-CAM for {label}: 1 = strongest evidence in this scan"


def _has_evidence(model: keras.Model) -> bool:
    return EVIDENCE in {layer.name for layer in model.layers}


def _compile(predictor: Predictor) -> Callable[..., np.ndarray]:
    import tensorflow as tf

    # The cache would hold the predictor for ever if what it holds referred to it.
    model, side, flip = predictor.model, predictor.input_size, predictor.test_time_flip
    has_evidence = _has_evidence(model)
    places = _evidence_of(model) if has_evidence else _grad_cam_of(model)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None, side, side], tf.uint8),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def explain(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        scans = tf.cast(images, tf.float32)[..., None]
        maps = places(scans, classes)
        if flip:
            maps = (maps + tf.reverse(places(tf.reverse(scans, [2]), classes), [2])) / 2.0
        maps = tf.image.resize(tf.nn.relu(maps), [side, side], method="bilinear")[..., 0]
        if has_evidence:
            return maps
        return tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=[1, 2], keepdims=True))

    return lambda images, classes: explain(images, classes).numpy()


def _evidence_of(model: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    import keras

    network = keras.Model(model.inputs[0], model.get_layer(EVIDENCE).output)
    return lambda scans, _: network(scans, training=False)


def _grad_cam_of(model: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    import keras
    import tensorflow as tf

    features_output = model.get_layer("features").output
    trunk = keras.Model(model.inputs[0], features_output)
    head = keras.Model(features_output, model.outputs[0])

    def places(scans: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        features = trunk(scans, training=False)
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = head(features, training=False)
            if logits.shape[-1] == 1:
                score = logits[:, 0] * tf.where(classes == 1, 1.0, -1.0)
            else:
                score = tf.gather(logits, classes, batch_dims=1)
        weights = tf.reduce_mean(tape.gradient(score, features), axis=[1, 2], keepdims=True)
        return tf.reduce_sum(weights * features, axis=-1, keepdims=True)

    return places
