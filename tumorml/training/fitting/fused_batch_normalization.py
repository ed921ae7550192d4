"""Batch normalisation in one fused operation while training.

Keras 3 spells it out as a dozen operations, whose gradient TensorFlow's CPU kernels do not repeat
bit for bit. With the fused one, which is as fast, the same seed gives the same network again.
"""

from __future__ import annotations

import keras  # noqa: TID253
import tensorflow as tf  # noqa: TID253


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's layer, over the last of four axes, with its training step fused."""

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Float32 or half precision `[n, h, w, channels]` to the same."""
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            tf.cast(inputs, tf.float32),
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=True,
        )
        # It gives the variance of the population that the batch is a sample of, Keras keeps that of
        # the batch.
        count = tf.cast(tf.size(inputs) / inputs.shape[-1], tf.float32)
        variance *= (count - 1.0) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)


def with_fused_batch_normalization(network: keras.Model) -> keras.Model:
    """The same network with the same weights, its batch normalisation fused for training."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        fused = type(layer) is keras.layers.BatchNormalization
        kind = FusedBatchNormalization if fused else type(layer)
        return kind.from_config(layer.get_config())

    of_others = keras.config.dtype_policy()
    keras.config.set_dtype_policy(network.dtype_policy)  # the optimiser's loss scaling follows it
    try:
        clone_of = keras.models.clone_model(network, clone_function=clone)
    finally:
        keras.config.set_dtype_policy(of_others)
    clone_of.set_weights(network.get_weights())
    return clone_of
