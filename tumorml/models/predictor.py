"""Predict with TensorFlow, in training and evaluation; servers use `tumorml.models.served`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.pixel_cache import CachedPixels
from tumorml.labels import Task
from tumorml.models.calibration import Calibrated, Calibration, class_logits

if TYPE_CHECKING:
    import keras


class Predictor(Calibrated):
    """A trained network that predicts calibrated probabilities.

    Attributes:
        model: float32 `[n, S, S, 1]` in 0..255 to float32 logits `[n, 1]` or `[n, classes]`.
        input_size: Side S of the square input, in pixels.
        test_time_flip: Whether predictions use the mean logits of a scan and its mirror image.

    Raises:
        ValueError: The model's output does not fit the task.
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task,
        calibration: Calibration | None = None,
        *,
        test_time_flip: bool = False,
    ) -> None:
        import tensorflow as tf

        # With TensorFloat-32, a model's outputs on a GPU differ from those on a CPU.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        super().__init__(task, calibration)
        self.model = model
        self.test_time_flip = test_time_flip
        self.input_size = int(model.input_shape[1])
        outputs = 1 if len(self.labels) == 2 else len(self.labels)
        if model.output_shape[-1] != outputs:
            raise ValueError(f"{task} needs {outputs} logits, not {model.output_shape[-1]}")
        side = self.input_size

        def forward(images: tf.Tensor) -> tf.Tensor:
            scans = tf.cast(images, tf.float32)[..., None]
            logits = model(scans, training=False)
            if test_time_flip:
                logits = (logits + model(tf.reverse(scans, [2]), training=False)) / 2.0
            return logits

        # A tf.function with a signature is traced once for all batch sizes, and is thread-safe.
        self._forward = tf.function(
            forward, input_signature=[tf.TensorSpec([None, side, side], tf.uint8)]
        )

    def logits(self, images: NDArray[np.uint8] | CachedPixels, batch_size: int = 64) -> np.ndarray:
        """Return a logit for each class, not calibrated.

        Args:
            images: uint8 `[n, S, S]`, as `fit_to_square` returns them; n may be 0.
            batch_size: Scans per batch.

        Returns:
            float32 `[n, classes]`, as `class_logits` returns them.

        Raises:
            ValueError: The images have another type or shape.
        """
        size = self.input_size
        if images.ndim != 3 or images.shape[1:] != (size, size) or images.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8 [n, {size}, {size}], not {images.dtype} {images.shape}"
            )
        batches = [
            self._forward(np.ascontiguousarray(images[start : start + batch_size])).numpy()
            for start in range(0, len(images), batch_size)
        ]
        width = self.model.output_shape[-1]
        return class_logits(
            np.concatenate(batches) if batches else np.zeros((0, width), np.float32)
        )

    def predict(self, images: NDArray[np.uint8] | CachedPixels, batch_size: int = 64) -> np.ndarray:
        """Return calibrated class probabilities.

        Args:
            images: uint8 `[n, S, S]`, as `fit_to_square` returns them; n may be 0.
            batch_size: Scans per batch.

        Returns:
            float32 `[n, classes]` in 0..1, in the order of `labels`; rows sum to 1.

        Raises:
            ValueError: The images have another type or shape.
        """
        return self.calibrated(self.logits(images, batch_size))
