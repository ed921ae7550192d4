"""Adam with one fused operation per variable.

Keras's Adam has ten operations, and each of them reads or writes all weights in memory.
"""

from __future__ import annotations

import keras  # noqa: TID253
import tensorflow as tf  # noqa: TID253


class _FusedStep:
    def update_step(
        self: keras.optimizers.Adam,
        gradient: tf.Tensor,
        variable: tf.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        """Update a float32 variable as Keras's Adam does."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FusedAdam(_FusedStep, keras.optimizers.Adam):  # type: ignore[misc]
    """`keras.optimizers.Adam` without `amsgrad`."""


class FusedAdamW(_FusedStep, keras.optimizers.AdamW):  # type: ignore[misc]
    """`keras.optimizers.AdamW` without `amsgrad`."""
