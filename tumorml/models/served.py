"""Models for serving: logits, features and evidence map in one forward pass.

A model runs in LiteRT if its export has the outputs of the network, so that a server needs no
TensorFlow. Otherwise it runs in TensorFlow.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tumorml.models.calibration import Calibrated, Calibration, class_logits
from tumorml.recipes.networks.layer_names import EVIDENCE, LOGITS

if TYPE_CHECKING:
    import tensorflow as tf

    from tumorml.labels import Task
    from tumorml.models.predictor import Predictor


class NetworkOutputs(NamedTuple):
    """Outputs of a network for n scans.

    Attributes:
        logits: float32 `[n, classes]`, as `Predictor.logits` returns them.
        features: float32 `[n, d]`, input of the last layer.
        evidence: float32 `[n, E, E]` in 0..1; None if the network has no evidence map.
    """

    logits: np.ndarray
    features: np.ndarray
    evidence: np.ndarray | None


class Served(Calibrated, ABC):
    """A model version for serving. Not thread-safe.

    Attributes:
        input_size: Side S of the square input, in pixels.
        has_evidence: Whether the network has an evidence map.
    """

    input_size: int
    has_evidence: bool

    @abstractmethod
    def _outputs(self, images: NDArray[np.uint8]) -> list[np.ndarray]:
        """Return logits, features and, if there is one, the evidence map, as `_network` does."""

    def run(self, images: NDArray[np.uint8]) -> NetworkOutputs:
        """Run the network.

        Args:
            images: uint8 `[n, S, S]`, as `fit_to_square` returns them; n is at least 1.
        """
        logits, features, *evidence = self._outputs(np.ascontiguousarray(images))
        return NetworkOutputs(
            class_logits(logits), features, evidence[0][..., 0] if evidence else None
        )

    def predict(self, images: NDArray[np.uint8]) -> np.ndarray:
        """Return calibrated class probabilities, float32 `[n, classes]`, as `Predictor.predict`."""
        return self.calibrated(self.run(images).logits)


class KerasServed(Served):
    """A model that runs in TensorFlow.

    Args:
        predictor: The loaded model.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor.task, predictor.calibration)
        self.input_size = predictor.input_size
        self.predictor = predictor
        self.has_evidence = any(layer.name == EVIDENCE for layer in predictor.model.layers)
        self._function = _network(predictor)

    def _outputs(self, images: NDArray[np.uint8]) -> list[np.ndarray]:
        return [output.numpy() for output in self._function(images)]


class LiteServed(Served):
    """A model that runs in LiteRT.

    Args:
        path: File that `write_lite` wrote.
        task: Task of the model.
        calibration: Calibration of the model version.
    """

    def __init__(self, path: Path, task: Task, calibration: Calibration) -> None:
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(task, calibration)
        self._interpreter = Interpreter(str(path))
        self._input = self._interpreter.get_input_details()[0]
        # The names Identity, Identity_1, Identity_2 sort in the order of `_network`'s outputs.
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: output["name"])
        self._order = [output["index"] for output in outputs]
        self.has_evidence = len(outputs) > 2
        self.input_size = int(self._input["shape"][1])
        self._count = 0

    def _outputs(self, images: NDArray[np.uint8]) -> list[np.ndarray]:
        if self._count != len(images):
            self._count = 0  # stays 0 if the allocation fails
            self._interpreter.resize_tensor_input(self._input["index"], images.shape)
            self._interpreter.allocate_tensors()
            self._count = len(images)
        self._interpreter.set_tensor(self._input["index"], images)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._order]


def write_lite(predictor: Predictor, path: Path) -> None:
    """Write a predictor's network, test-time flip included, as a LiteRT model."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # LiteRT is ten times slower with variables than with constants. The converter logs long
    # warnings about a function without variables, so its log level is raised.
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
    """Return a `tf.function` from uint8 `[n, S, S]` to float32 logits, features and evidence."""
    import keras
    import tensorflow as tf

    model, side = predictor.model, predictor.input_size
    logits = model.get_layer(LOGITS)
    evidence = [layer.output for layer in model.layers if layer.name == EVIDENCE]
    inner = keras.Model(model.inputs[0], [logits.output, logits.input, *evidence])

    def forward(scans: tf.Tensor) -> list[tf.Tensor]:
        return [tf.cast(output, tf.float32) for output in inner(scans, training=False)]

    def run(images: tf.Tensor) -> list[tf.Tensor]:
        scans = tf.cast(images, tf.float32)[..., None]
        outputs = forward(scans)
        if predictor.test_time_flip:
            mirrored = forward(tf.reverse(scans, [2]))
            mirrored[2:] = [tf.reverse(evidence_map, [2]) for evidence_map in mirrored[2:]]
            outputs = [(a + b) / 2.0 for a, b in zip(outputs, mirrored, strict=True)]
        return outputs

    return tf.function(run, input_signature=[tf.TensorSpec([None, side, side], tf.uint8)])
