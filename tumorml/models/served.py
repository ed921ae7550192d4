"""A model version as servers ask it: answers, features and evidence in one pass.

By LiteRT where the export answers as the network does, so that a server needs no TensorFlow; by the
network itself elsewhere.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tumorml.models.calibration import Calibrated, Calibration, of_classes
from tumorml.recipes.networks.layer_names import EVIDENCE

if TYPE_CHECKING:
    import tensorflow as tf

    from tumorml.labels import Task
    from tumorml.models.predictor import Predictor


class Seen(NamedTuple):
    """What a network says of n scans.

    Attributes:
        logits: float32 `[n, classes]`, as `Predictor.logits` gives them.
        features: float32 `[n, d]`: what was classified.
        evidence: float32 `[n, E, E]` in 0..1, or None where the network has no evidence map.
    """

    logits: np.ndarray
    features: np.ndarray
    evidence: np.ndarray | None


class Served(Calibrated, ABC):
    """Answers for a model version; from one thread at a time.

    Attributes:
        input_size: the side S of its square input, in pixels.
        has_evidence: whether the network has an evidence map.
    """

    input_size: int
    has_evidence: bool

    @abstractmethod
    def _outputs(self, images: NDArray[np.uint8]) -> list[np.ndarray]:
        """What `_network` returns."""

    def look(self, images: NDArray[np.uint8]) -> Seen:
        """Ask the network.

        Args:
            images: uint8 `[n, S, S]`, as `fit_to_square` makes them; n is at least 1.
        """
        raw, features, *evidence = self._outputs(np.ascontiguousarray(images))
        return Seen(of_classes(raw), features, evidence[0][..., 0] if evidence else None)

    def predict(self, images: NDArray[np.uint8]) -> np.ndarray:
        """Calibrated class probabilities, float32 `[n, classes]`, as `Predictor.predict`."""
        return self.calibrated(self.look(images).logits)


class KerasServed(Served):
    """By TensorFlow."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor.task, predictor.calibration)
        self.input_size = predictor.input_size
        self.predictor = predictor
        self.has_evidence = any(layer.name == EVIDENCE for layer in predictor.model.layers)
        self._function = _network(predictor)

    def _outputs(self, images: NDArray[np.uint8]) -> list[np.ndarray]:
        return [output.numpy() for output in self._function(images)]


class LiteServed(Served):
    """By LiteRT.

    Args:
        path: What `write_lite` has written.
        task: What it decides.
        calibration: Of the model version.
    """

    def __init__(self, path: Path, task: Task, calibration: Calibration) -> None:
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(task, calibration)
        self._interpreter = Interpreter(str(path))
        self._input = self._interpreter.get_input_details()[0]
        # Identity, Identity_1, Identity_2: in the order in which `_network` returns them.
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: output["name"])
        self._order = [output["index"] for output in outputs]
        self.has_evidence = len(outputs) > 2
        self.input_size = int(self._input["shape"][1])
        self._count = 0

    def _outputs(self, images: NDArray[np.uint8]) -> list[np.ndarray]:
        if self._count != len(images):
            self._count = 0  # should there be no memory for them
            self._interpreter.resize_tensor_input(self._input["index"], images.shape)
            self._interpreter.allocate_tensors()
            self._count = len(images)
        self._interpreter.set_tensor(self._input["index"], images)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._order]


def write_lite(predictor: Predictor, path: Path) -> None:
    """Write a predictor's network, its mirrored answer included, for LiteRT."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # With its weights as constants: LiteRT computes with variables ten times slower. The converter
    # would rather have the variables, and says so at length.
    frozen = convert_variables_to_constants_v2(_network(predictor).get_concrete_function())
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        converted = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    finally:
        absl.setLevel(level)
    path.write_bytes(converted)


def _network(predictor: Predictor) -> Any:
    """A `tf.function`: uint8 `[n, S, S]` to logits, features and any evidence, all float32."""
    import keras
    import tensorflow as tf

    model, side = predictor.model, predictor.input_size
    logits = model.get_layer("logits")
    evidence = [layer.output for layer in model.layers if layer.name == EVIDENCE]
    inner = keras.Model(model.inputs[0], [logits.output, logits.input, *evidence])

    def see(scans: tf.Tensor) -> list[tf.Tensor]:
        return [tf.cast(output, tf.float32) for output in inner(scans, training=False)]

    def look(images: tf.Tensor) -> list[tf.Tensor]:
        scans = tf.cast(images, tf.float32)[..., None]
        seen = see(scans)
        if predictor.test_time_flip:
            mirrored = see(tf.reverse(scans, [2]))
            mirrored[2:] = [tf.reverse(part, [2]) for part in mirrored[2:]]
            seen = [(one + other) / 2.0 for one, other in zip(seen, mirrored, strict=True)]
        return seen

    return tf.function(look, input_signature=[tf.TensorSpec([None, side, side], tf.uint8)])
