"""What answers for a model where it is trained and judged; servers ask its `served` form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.pixel_cache import CachedPixels
from tumorml.labels import Task
from tumorml.models.calibration import Calibrated, Calibration, of_classes

if TYPE_CHECKING:
    import keras


class Predictor(Calibrated):
    """A trained network, its task, and probabilities in the order of the task's labels.

    Attributes:
        model: float32 `[n, S, S, 1]` in 0..255 to float32 logits `[n, 1]` or `[n, classes]`.
        input_size: the side S of its square input, in pixels.
        test_time_flip: whether it answers with the mean logits of a scan and of its mirror image.

    Raises:
        ValueError: the model's output does not fit the task.
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

        # TensorFloat-32 would answer otherwise on a GPU than the same model on a CPU.
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

        # One trace for every batch size, and safe to call from several threads.
        self._forward = tf.function(
            forward, input_signature=[tf.TensorSpec([None, side, side], tf.uint8)]
        )

    def logits(self, images: NDArray[np.uint8] | CachedPixels, batch_size: int = 64) -> np.ndarray:
        """The network's raw answers, the mean of two with `test_time_flip`.

        Args:
            images: uint8 `[n, S, S]`, as `fit_to_square` makes them; n may be 0.
            batch_size: scans at a time.

        Returns:
            float32 `[n, classes]`; of a binary model `[-logit / 2, logit / 2]`, whose softmax is
            the sigmoid of its one logit.

        Raises:
            ValueError: the images have another type or shape.
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
        return of_classes(np.concatenate(batches) if batches else np.zeros((0, width), np.float32))

    def predict(self, images: NDArray[np.uint8] | CachedPixels, batch_size: int = 64) -> np.ndarray:
        """Calibrated class probabilities.

        Args:
            images: uint8 `[n, S, S]`, as `fit_to_square` makes them; n may be 0.
            batch_size: scans at a time.

        Returns:
            float32 `[n, classes]` in 0..1, in the order of `labels`; rows sum to 1.

        Raises:
            ValueError: the images have another type or shape.
        """
        return self.calibrated(self.logits(images, batch_size))
