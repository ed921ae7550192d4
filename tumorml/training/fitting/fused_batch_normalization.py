"""Batch normalization with one fused operation during training.

Keras 3 uses a dozen operations, whose gradient is not deterministic on TensorFlow's CPU kernels.
With the fused operation, which is as fast, the same seed gives the same network bit by bit.
"""

from __future__ import annotations

import keras  # noqa: TID253
import tensorflow as tf  # noqa: TID253


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's batch normalization over the last of four axes, fused during training."""

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Normalize float32 or half-precision `[n, h, w, channels]`."""
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            tf.cast(inputs, tf.float32),
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation returns the unbiased variance (divided by count - 1); Keras's layer keeps
        # the biased one (divided by count).
        count = tf.cast(tf.size(inputs) / inputs.shape[-1], tf.float32)
        variance *= (count - 1.0) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)


def with_fused_batch_normalization(network: keras.Model) -> keras.Model:
    """Return a copy of a network, weights included, with fused batch normalization."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_batch_normalization = type(layer) is keras.layers.BatchNormalization
        kind = FusedBatchNormalization if is_batch_normalization else type(layer)
        return kind.from_config(layer.get_config())

    previous_policy = keras.config.dtype_policy()
    # A new model takes the global policy, and Keras selects loss scaling by the model's policy.
    keras.config.set_dtype_policy(network.dtype_policy)
    try:
        copy = keras.models.clone_model(network, clone_function=clone)
    finally:
        keras.config.set_dtype_policy(previous_policy)
    copy.set_weights(network.get_weights())
    return copy
